#include "ctl/request.h"

#include <errno.h>

json_t *request_new(const char *command, json_t *arguments)
{
    if (arguments == NULL)
        arguments = json_object();
    return json_pack("{s:i, s:s, s:s, s:o}", "protocol", REQUEST_PROTOCOL, "version",
                     PACKAGE_VERSION, "command", command, "arguments", arguments);
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "";
}

static int check_protocol(const json_t *body, struct text *why)
{
    const json_t *number = json_object_get(body, "protocol");
    if (!json_is_integer(number)) {
        text_add_string(why, "not a request: it names no protocol");
        return -EPROTO;
    }
    if (json_integer_value(number) == REQUEST_PROTOCOL)
        return 0;
    text_format(why,
                "weftctl %s speaks protocol %lld and this weft %s protocol %d: use the weftctl "
                "that came with it",
                string_of(body, "version"), (long long)json_integer_value(number), PACKAGE_VERSION,
                REQUEST_PROTOCOL);
    return -EPROTO;
}

static int check_given(const struct command *c, json_t *arguments, struct text *why)
{
    const char *name;
    json_t *value;
    json_object_foreach(arguments, name, value)
    {
        if (command_argument(c, name) == NULL)
            text_format(why, "%s takes no argument '%s'", c->name, name);
        else if (!json_is_string(value))
            text_format(why, "%s: the argument '%s' must be a string", c->name, name);
        else
            continue;
        return -EPROTO;
    }
    return 0;
}

int request_check_arguments(const struct command *c, json_t *arguments, struct text *why)
{
    if (arguments != NULL && !json_is_object(arguments)) {
        text_format(why, "%s: the arguments must be an object", c->name);
        return -EPROTO;
    }
    for (const struct command_argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
        if (a->required && json_object_get(arguments, a->name) == NULL) {
            text_format(why, "%s: the argument '%s' is missing", c->name, a->name);
            return -EPROTO;
        }
    }
    return check_given(c, arguments, why);
}

int request_read(struct request *ret, json_t *body, struct text *why)
{
    int err = check_protocol(body, why);
    if (err < 0)
        return err;
    const char *name = string_of(body, "command");
    const struct command *command = command_find(name);
    if (command == NULL) {
        text_format(why, "there is no command '%s'", name);
        return -EPROTO;
    }
    err = request_check_arguments(command, json_object_get(body, "arguments"), why);
    if (err == 0)
        *ret = (struct request){.command = command, .body = body};
    return err;
}

const char *request_argument(const struct request *r, const char *name)
{
    return json_string_value(json_object_get(json_object_get(r->body, "arguments"), name));
}

void request_free(struct request *r)
{
    json_decref(r->body);
    r->body = NULL;
}
