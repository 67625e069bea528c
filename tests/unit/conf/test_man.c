/* The manual page says of every key what the table says. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "conf/schema.h"
#include "unit.h"

#define MAN UNIT_SRCDIR "/man/weft.yaml.5"

static struct text man; /* the source of the page, with a newline before its first line */

static void read_man(void)
{
    char buf[4096];
    FILE *f = fopen(MAN, "r");
    ck_assert_ptr_nonnull(f);
    text_init(&man);
    text_add_string(&man, "\n");
    for (size_t n; (n = fread(buf, 1, sizeof(buf), f)) > 0;)
        text_add(&man, buf, n);
    fclose(f);
}

/* The text after a line, up to the next line that begins with one of two requests. The caller
 * frees it. */
static char *part_after(const char *text, const char *line, const char *request, const char *other)
{
    struct text wanted;
    text_init(&wanted);
    text_format(&wanted, "\n%s\n", line);
    const char *at = strstr(text, wanted.data);
    if (at != NULL)
        at += wanted.length - 1;
    text_free(&wanted);
    if (at == NULL)
        return NULL;
    const char *end = at + strlen(at);
    const char *ends[] = {strstr(at, request), strstr(at, other)};
    for (size_t i = 0; i < 2; i++)
        if (ends[i] != NULL && ends[i] < end)
            end = ends[i];
    struct text part;
    text_init(&part);
    text_add(&part, at, (size_t)(end - at));
    text_add_string(&part, "\n");
    return part.data;
}

static void has_line(const char *entry, const char *key, const char *format, const char *value)
{
    struct text line;
    text_init(&line);
    text_add_string(&line, "\n");
    text_format(&line, format, value);
    text_add_string(&line, "\n");
    ck_assert_msg(strstr(entry, line.data) != NULL, "%s: no line%sin%s", key, line.data, entry);
    text_free(&line);
}

/* The page speaks for every build: directories that configure was told stand as their variables. */
static const char *in_any_build(const char *value)
{
    static char text[128];
    size_t n = strlen(RUNSTATEDIR);
    bool inside = strncmp(value, RUNSTATEDIR "/", n + 1) == 0;
    snprintf(text, sizeof(text), "%s%s", inside ? "RUNSTATEDIR" : "", value + (inside ? n : 0));
    return text;
}

static void check_entry(const char *section, const struct schema_key *key)
{
    struct text line, takes;
    text_init(&line);
    text_init(&takes);
    text_format(&line, ".B %s", key->name);
    char *entry = part_after(section, line.data, "\n.TP\n", "\n.SS ");
    ck_assert_msg(entry != NULL, "%s is not in the manual", key->name);
    has_line(entry, key->name, "%s", key->what);
    schema_describe(key, &takes);
#ifndef HAVE_SYSTEMD
    if (key->type != SCHEMA_OUTPUT) /* the page has the journal in any case */
#endif
        has_line(entry, key->name, "Takes %s.", takes.data);
    if (key->fallback != NULL)
        has_line(entry, key->name, "Default: %s.", in_any_build(key->fallback));
    if (key->required)
        has_line(entry, key->name, "%s", "Required.");
    free(entry);
    text_free(&line);
    text_free(&takes);
}

static void check_group(const struct schema_group *g, const char *path);

/* Each group has a section of its own: its heading is the path to it, where there is one. */
static void check_key(const struct schema_key *key, const char *section, const char *path)
{
    struct text deeper;
    text_init(&deeper);
    text_format(&deeper, "%s%s%s%s", path, path[0] != '\0' ? "." : "", key->name,
                key->type == SCHEMA_NAMED ? ".NAME" : "");
    if (key->type == SCHEMA_RESERVED) {
        char *reserved = part_after(man.data, ".SH RESERVED KEYS", "\n.fi\n", "\n.SH ");
        has_line(reserved, key->name, "%s", deeper.data);
        free(reserved);
    } else if (key->type != SCHEMA_GROUP && key->type != SCHEMA_NAMED) {
        check_entry(section, key);
    }
    if (key->type != SCHEMA_RESERVED && key->group != NULL)
        check_group(key->group, deeper.data);
    text_free(&deeper);
}

static void check_group(const struct schema_group *g, const char *path)
{
    struct text heading;
    text_init(&heading);
    text_format(&heading, ".SS %s", path[0] != '\0' ? path : "Top level");
    char *section = part_after(man.data, heading.data, "\n.SS ", "\n.SH ");
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        check_key(key, section != NULL ? section : "", path);
    free(section);
    text_free(&heading);
}

START_TEST(every_key_is_in_the_manual)
{
    read_man();
    check_group(&schema_root, "");
    text_free(&man);
}
END_TEST

UNIT_MAIN("man", every_key_is_in_the_manual)
