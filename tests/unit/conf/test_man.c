/* The manual page says of every key what the table says. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "conf/schema.h"
#include "man.h"
#include "unit.h"

#define MAN UNIT_SRCDIR "/man/weft.yaml.5"

static struct text man; /* the source of the page */

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
    char *entry = man_part_after(section, line.data, "\n.TP\n", "\n.SS ");
    ck_assert_msg(entry != NULL, "%s is not in the manual", key->name);
    man_has_line(entry, key->name, "%s", key->what);
    schema_describe(key, &takes);
#ifndef HAVE_SYSTEMD
    if (key->type != SCHEMA_OUTPUT) /* the page has the journal in any case */
#endif
        man_has_line(entry, key->name, "Takes %s.", takes.data);
    if (key->fallback != NULL)
        man_has_line(entry, key->name, "Default: %s.", in_any_build(key->fallback));
    if (key->required && key->other != NULL)
        man_has_line(entry, key->name, "Required, or %s.", key->other);
    else if (key->required)
        man_has_line(entry, key->name, "%s", "Required.");
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
        char *reserved = man_part_after(man.data, ".SH RESERVED KEYS", "\n.fi\n", "\n.SH ");
        man_has_line(reserved, key->name, "%s", deeper.data);
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
    char *section = man_part_after(man.data, heading.data, "\n.SS ", "\n.SH ");
    for (const struct schema_key *key = g->keys; key->name != NULL; key++)
        check_key(key, section != NULL ? section : "", path);
    free(section);
    text_free(&heading);
}

START_TEST(every_key_is_in_the_manual)
{
    man_read(MAN, &man);
    check_group(&schema_root, "");
    text_free(&man);
}
END_TEST

UNIT_MAIN("man", every_key_is_in_the_manual)
