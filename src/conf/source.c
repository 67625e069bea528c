#include "conf/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/expand.h"
#include "conf/fault.h"
#include "conf/names.h"
#include "conf/utf8.h"

/* Files on their way from what includes them. */
struct pending {
    struct pending *next;
    const char *path;
    const char *id;
    struct content content; /* owned */
};

/* A file that is being gathered, and those that led to it. */
struct chain {
    const struct chain *parent;
    const char *id; /* NULL: not known */
    unsigned depth;
};

struct gatherer {
    const struct conf_source *source;
    struct draft *draft;
    struct arena *scratch;
    struct source_files *files;
    struct source_file **end; /* of the list of files */
    struct names seen;        /* ids of files that are included already, and where */
    size_t bytes;             /* of all files so far */
    size_t nodes;             /* likewise */
};

/* One include, while the files that it stands for are opened. */
struct include {
    struct gatherer *g;
    const struct chain *chain; /* of the file that it stands in */
    const struct conf_mark *mark;
    struct pending **end;
};

static struct conf_faults *faults_of(const struct gatherer *g)
{
    return g->draft->faults;
}

static void *take_memory(struct gatherer *g, size_t n)
{
    void *piece = arena_alloc(g->scratch, n);
    if (piece == NULL)
        fault_no_memory(faults_of(g));
    return piece;
}

/* What tells a file from others, by whatever name it is opened. Returns 0 or -errno. */
static int identify(struct gatherer *g, int fd, const char **ret)
{
    struct stat st;
    char id[40];
    if (fstat(fd, &st) != 0)
        return -errno;
    int n = snprintf(id, sizeof(id), "%jx:%jx", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    *ret = arena_copy(g->scratch, id, (size_t)n);
    return *ret != NULL ? 0 : -ENOMEM;
}

/* --- one file of an include -------------------------------------------------------------- */

static bool leads_back(const struct chain *chain, const char *id)
{
    for (; chain != NULL; chain = chain->parent)
        if (chain->id != NULL && strcmp(chain->id, id) == 0)
            return true;
    return false;
}

static bool seen_before(const struct include *i, const char *path, const char *id)
{
    struct name *name = take_memory(i->g, sizeof(*name));
    if (name == NULL)
        return true;
    *name = (struct name){.text = id, .mark = *i->mark};
    const struct name *first = names_add(&i->g->seen, name);
    if (first == NULL)
        fault_no_memory(faults_of(i->g));
    else if (first != name)
        fault_add(faults_of(i->g), i->mark, "include: duplicate file '%s', first at %s:%u:%u",
                  fault_show(path).text, first->mark.file, first->mark.line, first->mark.column);
    return first != name;
}

/* Returns false with a fault noted where the file can't be one more. */
static bool admit(const struct include *i, const char *path, const char *id)
{
    if (leads_back(i->chain, id)) {
        fault_add(faults_of(i->g), i->mark, "include: '%s' would include itself",
                  fault_show(path).text);
        return false;
    }
    if (i->chain->depth == SOURCE_DEPTH_MAX) {
        fault_add(faults_of(i->g), i->mark, "include: '%s' is included deeper than %d levels",
                  fault_show(path).text, SOURCE_DEPTH_MAX);
        return false;
    }
    return !seen_before(i, path, id);
}

static void complain(const struct include *i, const char *path, int err)
{
    if (err == -ENOMEM)
        fault_no_memory(faults_of(i->g));
    else
        fault_add(faults_of(i->g), i->mark, "include: '%s': %s", fault_show(path).text,
                  error_text(err));
}

/* Returns false with a fault noted. */
static bool read_file(const struct include *i, const char *path, int fd, struct content *ret)
{
    struct gatherer *g = i->g;
    int rc = content_read(fd, TREE_SIZE_MAX - g->bytes, ret);
    if (rc < 0) {
        complain(i, path, rc);
        return false;
    }
    if (ret->size > TREE_SIZE_MAX - g->bytes) {
        fault_add(faults_of(g), i->mark, "include: more than %d MiB in all files are too many",
                  TREE_SIZE_MAX >> 20);
        content_free(ret);
        return false;
    }
    g->bytes += ret->size;
    return true;
}

static bool add_pending(struct include *i, const char *path, const char *id, struct content *c)
{
    struct pending *p = take_memory(i->g, sizeof(*p));
    const char *copy = draft_copy(i->g->draft, path);
    if (p == NULL || copy == NULL) {
        content_free(c);
        return false;
    }
    *p = (struct pending){.path = copy, .id = id, .content = *c};
    *i->end = p;
    i->end = &p->next;
    return true;
}

/* Returns false with a fault noted. */
static bool take_open(struct include *i, const char *path, int fd)
{
    const char *id;
    struct content content;
    int rc = identify(i->g, fd, &id);
    if (rc < 0) {
        complain(i, path, rc);
        return false;
    }
    return admit(i, path, id) && read_file(i, path, fd, &content) &&
           add_pending(i, path, id, &content);
}

/* An expand_fn. It reads, and no more: what serves the expansion is busy until the last file. */
static int take_file(void *arg, const char *path, int fd)
{
    struct include *i = arg;
    bool taken = false;
    if (fd < 0) {
        complain(i, path, fd);
    } else {
        taken = take_open(i, path, fd);
        close(fd);
    }
    i->g->files->complete &= taken;
    return 0;
}

/* --- includes of a file ------------------------------------------------------------------ */

/* A path in a file is relative to the file. */
static void resolve_path(const char *file, const char *path, struct text *ret)
{
    const char *slash = strrchr(file, '/');
    if (path[0] != '/' && slash != NULL) {
        struct text dir;
        text_init(&dir);
        text_add(&dir, file, (size_t)(slash + 1 - file));
        if (dir.failed)
            ret->failed = true;
        else if (expand_is_pattern(path))
            expand_quote(ret, dir.data);
        else
            text_add_string(ret, dir.data);
        text_free(&dir);
    }
    text_add_string(ret, path);
}

static void gather_file(struct gatherer *g, const char *path, const struct content *content,
                        const struct chain *chain);

/* Gather what an include stands for, once all of it has been read. */
static void gather_pending(struct gatherer *g, struct pending *first, const struct chain *parent)
{
    for (struct pending *p = first; p != NULL; p = p->next) {
        const struct chain chain = {.parent = parent, .id = p->id, .depth = parent->depth + 1};
        gather_file(g, p->path, &p->content, &chain);
        content_free(&p->content);
    }
}

static void include_path(struct gatherer *g, const struct tree_node *node, const char *pattern,
                         const struct chain *chain)
{
    struct pending *first = NULL;
    struct include i = {.g = g, .chain = chain, .mark = &node->mark, .end = &first};
    int rc = g->source->expand != NULL ? g->source->expand(g->source->arg, pattern, take_file, &i)
                                       : expand_open(pattern, take_file, &i);
    if (rc < 0) {
        complain(&i, pattern, rc);
        g->files->complete = false;
    }
    gather_pending(g, first, chain);
}

/* Returns false with a fault noted. */
static bool usable(struct gatherer *g, const struct tree_node *node, const char *must)
{
    if (node->kind == TREE_BROKEN)
        return false;
    if (tree_is_null(node))
        fault_add(faults_of(g), &node->mark, "include: has no value");
    else if (node->kind != TREE_SCALAR)
        fault_add(faults_of(g), &node->mark, "include: must be %s, not a %s", must,
                  node->kind == TREE_LIST ? "list" : "mapping");
    else if (node->text[0] == '\0')
        fault_add(faults_of(g), &node->mark, "include: the path is empty");
    else if (!utf8_printable(node->text))
        fault_add(faults_of(g), &node->mark, "include: '%s' has characters that can't be shown",
                  fault_show(node->text).text);
    else
        return true;
    return false;
}

static void include_node(struct gatherer *g, const struct tree_node *node, const char *must,
                         const char *file, const struct chain *chain)
{
    if (!usable(g, node, must)) {
        g->files->complete = false;
        return;
    }
    struct text pattern;
    text_init(&pattern);
    resolve_path(file, node->text, &pattern);
    if (pattern.failed)
        fault_no_memory(faults_of(g));
    else
        include_path(g, node, pattern.data, chain);
    text_free(&pattern);
}

/* An include with all its paths commented out is as good as none. */
static void gather_includes(struct gatherer *g, const struct source_file *file,
                            const struct chain *chain)
{
    const struct tree_node *node = tree_find(file->root, "include");
    if (node == NULL || tree_is_null(node))
        return;
    if (node->kind != TREE_LIST) {
        include_node(g, node, "a path or a list of paths", file->path, chain);
        return;
    }
    for (const struct tree_item *i = node->first; i != NULL; i = i->next)
        include_node(g, i->value, "a path", file->path, chain);
}

static void gather_file(struct gatherer *g, const char *path, const struct content *content,
                        const struct chain *chain)
{
    struct source_file *file = take_memory(g, sizeof(*file));
    if (file == NULL)
        return;
    fault_file(faults_of(g), path);
    file->path = path;
    file->root =
        tree_parse(path, content->bytes, content->size, &g->nodes, g->scratch, faults_of(g));
    *g->end = file;
    g->end = &file->next;
    if (file->root != NULL)
        gather_includes(g, file, chain);
    else
        g->files->complete = false;
}

void source_gather(struct source_files *ret, const struct conf_source *source,
                   const struct content *main, struct draft *draft, struct arena *scratch)
{
    *ret = (struct source_files){.complete = true};
    struct gatherer g = {.source = source,
                         .draft = draft,
                         .scratch = scratch,
                         .files = ret,
                         .end = &ret->first,
                         .bytes = main->size};
    names_init(&g.seen);
    struct chain chain = {.id = NULL};
    const char *path = draft_copy(draft, source->path);
    if (source->fd >= 0 && identify(&g, source->fd, &chain.id) == -ENOMEM)
        fault_no_memory(draft->faults);
    else if (path != NULL)
        gather_file(&g, path, main, &chain);
    names_clear(&g.seen);
}
