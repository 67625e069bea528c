#include "conf/draft.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "conf/account.h"
#include "conf/fault.h"
#include "conf/field.h"
#include "conf/holder.h"
#include "conf/utf8.h"

#define WORKERS_MAX 256 /* as the key table has it */

/* The processors that this process may run on. */
static unsigned count_cpus(void)
{
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (set == NULL)
            break;
        size_t size = CPU_ALLOC_SIZE(cpus);
        int rc = sched_getaffinity(0, size, set);
        unsigned count = rc == 0 ? (unsigned)CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return count;
        if (errno != EINVAL) /* as it is where the kernel's mask is larger than ours */
            break;
    }
    return 1;
}

static unsigned auto_workers(void)
{
    unsigned cpus = count_cpus();
    return cpus < WORKERS_MAX ? cpus : WORKERS_MAX;
}

bool draft_begin(struct draft *d)
{
    *d = (struct draft){.faults = fault_list_new()};
    names_init(&d->binds);
    struct holder *h = d->faults != NULL ? holder_new() : NULL;
    if (h == NULL)
        return false;
    d->conf = &h->conf;
    d->arena = &h->arena;
    field_defaults(&schema_root, d->conf);
    return true;
}

int draft_finish(struct draft *d, const struct conf **ret, struct conf_faults **ret_faults)
{
    names_clear(&d->binds);
    if (d->conf != NULL)
        account_settle(d);
    if (d->conf != NULL && conf_faults_count(d->faults) == 0) {
        if (d->conf->process.workers == 0)
            d->conf->process.workers = auto_workers();
        conf_faults_free(d->faults);
        *ret = d->conf;
        return 0;
    }
    if (d->conf != NULL) {
        conf_unref(d->conf);
        fault_sort(d->faults);
        *ret_faults = d->faults;
    } else {
        conf_faults_free(d->faults);
        *ret_faults = fault_list_no_memory();
    }
    return -WEFT_ECONF;
}

void *draft_alloc(struct draft *d, size_t n)
{
    void *piece = arena_alloc(d->arena, n);
    if (piece == NULL)
        fault_no_memory(d->faults);
    return piece;
}

char *draft_copy(struct draft *d, const char *text)
{
    char *copy = arena_copy(d->arena, text, strlen(text));
    if (copy == NULL)
        fault_no_memory(d->faults);
    return copy;
}

void draft_element(struct draft *d, const struct schema_group *g, const char *name,
                   const struct conf_mark *mark, void *into)
{
    char *copy = draft_copy(d, name);
    memcpy((char *)into + g->name, &copy, sizeof(copy));
    memcpy((char *)into + g->mark, mark, sizeof(*mark));
    field_defaults(g, into);
}

static void duplicate(struct draft *d, const char *what, const char *text,
                      const struct conf_mark *mark, const struct conf_mark *first)
{
    struct fault_shown shown = fault_show(text);
    if (first->line > 0)
        fault_add(d->faults, mark, "duplicate %s '%s', first at %s:%u:%u", what, shown.text,
                  first->file, first->line, first->column);
    else
        fault_add(d->faults, mark, "duplicate %s '%s'", what, shown.text);
}

bool draft_unique(struct draft *d, struct names *in, const char *what, const char *text,
                  const struct conf_mark *mark)
{
    struct name *name = draft_alloc(d, sizeof(*name));
    char *copy = draft_copy(d, text);
    if (name == NULL || copy == NULL)
        return false;
    *name = (struct name){.text = copy, .mark = *mark};
    const struct name *first = names_add(in, name);
    if (first == NULL)
        fault_no_memory(d->faults);
    else if (first != name)
        duplicate(d, what, text, mark, &first->mark);
    return first == name;
}

/* --- addresses --------------------------------------------------------------------------- */

static bool parse(struct draft *d, const char *text, const struct conf_mark *mark,
                  struct addr_spec *ret)
{
    const char *why = "it has characters that can't be shown";
    if (utf8_printable(text) && addr_parse(text, ret, &why) == 0)
        return true;
    fault_add(d->faults, mark, "bad address '%s': %s", fault_show(text).text, why);
    return false;
}

static bool resolve(struct draft *d, const char *text, const struct conf_mark *mark,
                    const struct addr_spec *spec, struct conf_address *ret)
{
    struct conf_address address = {.any = spec->any, .mark = *mark};
    if (addr_resolve(spec, &address.addr) < 0) {
        fault_add(d->faults, mark, "'%s': %s", fault_show(text).text, error_text(WEFT_ERESOLVE));
        return false;
    }
    address.text = draft_copy(d, text);
    if (address.text == NULL)
        return false;
    *ret = address;
    return true;
}

/* Two listeners can't have one address; :PORT has both families' addresses that mean all. */
static bool claim(struct draft *d, const struct conf_address *a)
{
    char text[ADDR_TEXT_SIZE];
    addr_format(&a->addr, text);
    if (!draft_unique(d, &d->binds, "bind address", text, &a->mark))
        return false;
    if (!a->any)
        return true;
    struct addr v4 = {.len = sizeof(v4.in)};
    v4.in.sin_family = AF_INET;
    v4.in.sin_port = htons(addr_port(&a->addr));
    addr_format(&v4, text);
    return draft_unique(d, &d->binds, "bind address", text, &a->mark);
}

/* What they are bound to is systemd's business; each name is for one listener alone. */
static bool name_sockets(struct draft *d, const char *text, const struct conf_mark *mark,
                         const struct addr_spec *spec, struct conf_address *ret)
{
#ifdef HAVE_SYSTEMD
    struct conf_address address = {.text = draft_copy(d, text), .mark = *mark};
    address.systemd = draft_copy(d, spec->host);
    if (address.text == NULL || address.systemd == NULL)
        return false;
    *ret = address;
    return draft_unique(d, &d->binds, "bind address", text, mark);
#else
    (void)spec;
    (void)ret;
    fault_add(d->faults, mark, "'%s': this weft is built without libsystemd",
              fault_show(text).text);
    return false;
#endif
}

bool draft_bind(struct draft *d, const char *text, const struct conf_mark *mark,
                struct conf_address *ret)
{
    struct addr_spec spec;
    if (!parse(d, text, mark, &spec))
        return false;
    if (spec.kind == ADDR_SYSTEMD)
        return name_sockets(d, text, mark, &spec, ret);
    return resolve(d, text, mark, &spec, ret) && claim(d, ret);
}

bool draft_server_address(struct draft *d, const char *text, const struct conf_mark *mark,
                          struct conf_address *ret)
{
    struct addr_spec spec;
    if (!parse(d, text, mark, &spec))
        return false;
    if (spec.kind == ADDR_SYSTEMD || spec.any) {
        fault_add(d->faults, mark, "bad address '%s': %s", fault_show(text).text,
                  spec.any ? "a server needs a host, as in 127.0.0.1:80"
                           : "systemd hands over sockets to listen on, not servers");
        return false;
    }
    return resolve(d, text, mark, &spec, ret);
}

void draft_server_name(struct draft *d, struct names *in, struct conf_server *s,
                       const struct conf_mark *mark)
{
    if (s->name == NULL && s->address.text != NULL) {
        struct text why;
        text_init(&why);
        if (field_check_name(s->address.text, &why) == 0)
            s->name = s->address.text;
        else if (why.failed)
            fault_no_memory(d->faults);
        else
            fault_add(d->faults, mark, "the server needs a name: %s", why.data);
        text_free(&why);
    }
    if (s->name != NULL)
        draft_unique(d, in, "server", s->name, mark);
}
