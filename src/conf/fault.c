#include "conf/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"
#include "conf/names.h"
#include "conf/utf8.h"

#define SHOWN_MAX 80 /* [bytes] of a user's text in a message */

/* The list may outlive the configuration, whose file names marks have: it keeps its own. */
struct file {
    struct name name;
    size_t order;
};

struct fault {
    struct conf_mark mark;
    const struct file *file;
    size_t order; /* in which it was found */
    char *what;
};

struct conf_faults {
    struct arena arena; /* what the faults point to */
    struct names files; /* name -> struct file */
    size_t file_count;
    struct fault *faults; /* owned */
    size_t count;
    size_t capacity;
    bool no_memory;
};

static struct conf_faults out_of_memory = {.no_memory = true};

struct conf_faults *fault_list_new(void)
{
    struct conf_faults *f = calloc(1, sizeof(*f));
    if (f != NULL) {
        arena_init(&f->arena);
        names_init(&f->files);
    }
    return f;
}

struct conf_faults *fault_list_no_memory(void)
{
    return &out_of_memory;
}

void conf_faults_free(struct conf_faults *f)
{
    if (f == NULL || f == &out_of_memory)
        return;
    names_clear(&f->files);
    arena_free(&f->arena);
    free(f->faults);
    free(f);
}

size_t conf_faults_count(const struct conf_faults *f)
{
    return f->count + f->no_memory;
}

void fault_no_memory(struct conf_faults *f)
{
    f->no_memory = true;
}

static const struct file *add_file(struct conf_faults *f, const char *name)
{
    struct file *file = arena_alloc(&f->arena, sizeof(*file));
    const char *copy = file != NULL ? arena_copy(&f->arena, name, strlen(name)) : NULL;
    if (copy == NULL)
        return NULL;
    *file = (struct file){.name = {.text = copy, .value = file}, .order = f->file_count++};
    return names_add(&f->files, &file->name) != NULL ? file : NULL;
}

static const struct file *find_file(struct conf_faults *f, const char *name)
{
    const struct name *known = names_find(&f->files, name);
    return known != NULL ? known->value : add_file(f, name);
}

void fault_file(struct conf_faults *f, const char *file)
{
    if (find_file(f, file) == NULL)
        f->no_memory = true;
}

static bool grow(struct conf_faults *f)
{
    if (f->count < f->capacity)
        return true;
    size_t capacity = f->capacity > 0 ? f->capacity * 2 : 16;
    struct fault *faults = realloc(f->faults, capacity * sizeof(*faults));
    if (faults == NULL)
        return false;
    f->faults = faults;
    f->capacity = capacity;
    return true;
}

static char *format_text(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (text != NULL)
        vsnprintf(text, (size_t)n + 1, format, args);
    return text;
}

void fault_add(struct conf_faults *f, const struct conf_mark *mark, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = format_text(&f->arena, format, args);
    va_end(args);
    const struct file *file = find_file(f, mark->file);
    if (what == NULL || file == NULL || !grow(f)) {
        f->no_memory = true;
        return;
    }
    struct fault *added = &f->faults[f->count];
    *added = (struct fault){.mark = *mark, .file = file, .order = f->count, .what = what};
    added->mark.file = file->name.text;
    f->count++;
}

static int order(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *a, const void *b)
{
    const struct fault *x = a, *y = b;
    if (x->file != y->file)
        return order(x->file->order, y->file->order);
    if (x->mark.line != y->mark.line)
        return order(x->mark.line, y->mark.line);
    if (x->mark.column != y->mark.column)
        return order(x->mark.column, y->mark.column);
    return order(x->order, y->order);
}

static bool repeats(const struct fault *a, const struct fault *b)
{
    return a->mark.line > 0 && a->file == b->file && a->mark.line == b->mark.line &&
           a->mark.column == b->mark.column && strcmp(a->what, b->what) == 0;
}

void fault_sort(struct conf_faults *f)
{
    if (f->count == 0)
        return;
    qsort(f->faults, f->count, sizeof(*f->faults), compare);
    size_t kept = 1;
    for (size_t i = 1; i < f->count; i++)
        if (!repeats(&f->faults[kept - 1], &f->faults[i]))
            f->faults[kept++] = f->faults[i];
    f->count = kept;
}

void conf_faults_write(const struct conf_faults *f, struct text *out)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct fault *fault = &f->faults[i];
        text_add_string(out, fault->mark.file);
        if (fault->mark.line > 0)
            text_format(out, ":%u:%u", fault->mark.line, fault->mark.column);
        text_format(out, ": error: %s\n", fault->what);
    }
    if (f->no_memory)
        text_add_string(out, "weft: error: out of memory while reading the configuration\n");
}

struct fault_shown fault_show(const char *text)
{
    struct fault_shown shown;
    size_t n = 0;
    while (*text != '\0' && n < SHOWN_MAX) {
        const char *from = text;
        if (utf8_visible(utf8_next(&text))) {
            memcpy(shown.text + n, from, (size_t)(text - from));
            n += (size_t)(text - from);
        } else {
            shown.text[n++] = '?';
        }
    }
    strcpy(shown.text + n, *text != '\0' ? "..." : "");
    return shown;
}
