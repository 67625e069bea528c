#include "worker/loading.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

/* The strings of an array. Owns: the caller frees the array, the strings are the message's. */
static const char **take_strings(const json_t *array, size_t *ret_count)
{
    size_t count = json_array_size(array);
    const char **strings = calloc(count + 1, sizeof(*strings));
    for (size_t i = 0; strings != NULL && i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        strings[i] = text != NULL ? text : "";
    }
    *ret_count = count;
    return strings;
}

static int read_quick(const struct message *m, const struct conf **ret,
                      struct conf_faults **ret_faults)
{
    size_t listen_count, backend_count;
    const char **listen = take_strings(json_object_get(m->body, "listen"), &listen_count);
    const char **backend = take_strings(json_object_get(m->body, "backend"), &backend_count);
    int err = listen != NULL && backend != NULL
                  ? conf_quick(listen, listen_count, backend, backend_count, ret, ret_faults)
                  : -ENOMEM;
    free(listen);
    free(backend);
    return err;
}

static int expand(void *arg, const char *pattern, expand_fn *take, void *taker)
{
    return opener_include(arg, pattern, take, taker);
}

static int read_file(struct message *m, const char *path, struct opener *o, const struct conf **ret,
                     struct conf_faults **ret_faults)
{
    const struct conf_source source = {
        .path = path, .fd = message_take_fd(m, 0), .expand = expand, .arg = o};
    int err = conf_load_from(&source, ret, ret_faults);
    if (source.fd >= 0)
        close(source.fd);
    return err;
}

int loading_read(struct message *m, struct opener *o, const struct conf **ret, struct text *why)
{
    struct conf_faults *faults = NULL;
    const char *path = message_string(m, "path");
    int err = *path == '\0' ? read_quick(m, ret, &faults) : read_file(m, path, o, ret, &faults);
    if (err == -WEFT_ECONF)
        conf_faults_write(faults, why);
    else if (err < 0)
        text_format(why, "error: %s", error_text(err));
    conf_faults_free(faults);
    return err;
}
