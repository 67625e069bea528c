#include "cmd/preview.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cmd/client.h"
#include "cmd/table.h"
#include "cmd/terminal.h"
#include "conf/conf.h"
#include "ctl/bundle.h"
#include "ctl/request.h"

static int failed(struct text *why)
{
    fprintf(stderr, "weft: %s\n", why->data != NULL ? why->data : "out of memory");
    return EXIT_FAILURE;
}

/* --- the question ------------------------------------------------------------------------ */

/* Read the file and what it includes, once: weft is to compare what we have seen. */
static int load(const char *path, struct bundle *b, const struct conf **ret,
                struct conf_faults **ret_faults)
{
    int copy, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return conf_load(path, ret, ret_faults); /* it says why not */
    int err = bundle_begin(b, path, fd, &copy);
    close(fd);
    if (err < 0)
        return err;
    const struct conf_source source = {.path = path, .fd = copy, .expand = bundle_record, .arg = b};
    err = conf_load_from(&source, ret, ret_faults);
    close(copy);
    return err;
}

static int load_or_complain(const char *path, struct bundle *b, const struct conf **ret)
{
    struct conf_faults *faults = NULL;
    struct text why;
    text_init(&why);
    int err = load(path, b, ret, &faults);
    if (err == -WEFT_ECONF)
        conf_faults_write(faults, &why);
    else if (err < 0)
        text_format(&why, "%s: error: %s\n", path, error_text(err));
    if (err < 0)
        fputs(why.data != NULL ? why.data : "weft: out of memory\n", stderr);
    conf_faults_free(faults);
    text_free(&why);
    return err;
}

static int ask(int fd, const struct bundle *b, struct answer *ret, struct text *why)
{
    int bundle = bundle_pack(b);
    if (bundle < 0) {
        text_add_string(why, error_text(bundle));
        return bundle;
    }
    json_t *request = request_new("diff", NULL);
    int err = client_ask(fd, request, bundle, ret, why);
    json_decref(request);
    close(bundle);
    return err;
}

/* --- the answer -------------------------------------------------------------------------- */

static int print_rows(const char *path, const struct answer *a)
{
    struct text out;
    text_init(&out);
    if (json_array_size(a->rows) == 0)
        text_format(&out, "%s: nothing would change\n", path);
    else
        table_write(commands[COMMAND_DIFF].columns, a->rows, terminal_width(), &out);
    if (out.data != NULL)
        fputs(out.data, stdout);
    text_free(&out);
    return EXIT_SUCCESS;
}

static int show(const char *path, const struct answer *a, struct text *why)
{
    if (a->done)
        return print_rows(path, a);
    terminal_print_lines(a->faults, stderr);
    return failed(why);
}

static int ask_on(int fd, const char *path, const struct bundle *b)
{
    struct answer answer = {.rows = NULL};
    struct text why;
    text_init(&why);
    (void)!ask(fd, b, &answer, &why); /* the answer and `why` tell */
    int status = show(path, &answer, &why);
    answer_free(&answer);
    text_free(&why);
    return status;
}

static int connect_and_ask(const char *path, const struct bundle *b, const struct conf *conf)
{
    const char *socket = conf->process.control.path;
    struct text why;
    text_init(&why);
    int status = EXIT_FAILURE, fd = socket != NULL ? client_connect(socket) : -1;
    if (socket == NULL) {
        text_format(&why, "%s: weft.control is off: there is no weft to ask", path);
        status = failed(&why);
    } else if (fd < 0) {
        client_explain(socket, fd, &why);
        (void)failed(&why);
        status = client_found_nobody(fd) ? PREVIEW_NO_DAEMON : EXIT_FAILURE;
    } else {
        status = ask_on(fd, path, b);
        close(fd);
    }
    text_free(&why);
    return status;
}

int preview_print(const char *path)
{
    const struct conf *conf;
    struct bundle bundle = {.root = NULL};
    int status = EXIT_FAILURE;
    if (load_or_complain(path, &bundle, &conf) == 0) {
        status = connect_and_ask(path, &bundle, conf);
        conf_unref(conf);
    }
    bundle_free(&bundle);
    return status;
}
