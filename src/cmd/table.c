#include "cmd/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "cmd/units.h"

#define GAP         2 /* [characters] between two columns */
#define NARROWEST   8 /* [characters] that a text is not cut below */
#define COLUMNS_MAX 32

static const char cut_mark[] = "...";

struct layout {
    const struct command_column *columns;
    size_t count;
    size_t widths[COLUMNS_MAX]; /* [characters] */
    struct text cell;
};

/* Characters, not bytes: every byte counts but those that continue one. */
static size_t width_of(const char *utf8)
{
    size_t width = 0;
    for (; *utf8 != '\0'; utf8++)
        width += (*utf8 & 0xc0) != 0x80;
    return width;
}

static bool is_number(enum column_type type)
{
    switch (type) {
    case COLUMN_COUNT:
    case COLUMN_BYTES:
    case COLUMN_DURATION:
    case COLUMN_SHARE:
        return true;
    default:
        return false;
    }
}

static const char *format_cell(struct layout *l, size_t column, const json_t *row)
{
    const struct command_column *c = &l->columns[column];
    text_clear(&l->cell);
    units_write(c->type, json_object_get(row, c->key), &l->cell);
    return l->cell.data != NULL ? l->cell.data : "";
}

static void widen(struct layout *l, size_t column, const char *cell)
{
    size_t width = width_of(cell);
    if (width > l->widths[column])
        l->widths[column] = width;
}

static void measure(struct layout *l, const json_t *rows)
{
    size_t i;
    json_t *row;
    for (size_t c = 0; c < l->count; c++)
        widen(l, c, l->columns[c].title);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < l->count; c++)
            widen(l, c, format_cell(l, c, row));
    }
}

/* --- fitting ----------------------------------------------------------------------------- */

static size_t total_width(const struct layout *l)
{
    size_t total = (l->count - 1) * GAP;
    for (size_t c = 0; c < l->count; c++)
        total += l->widths[c];
    return total;
}

static size_t narrowest(const struct command_column *c)
{
    size_t title = width_of(c->title);
    return title > NARROWEST ? title : NARROWEST;
}

/* The widest column of those that can be cut. Returns `count` where none can. */
static size_t widest_text(const struct layout *l)
{
    size_t widest = l->count;
    for (size_t c = 0; c < l->count; c++) {
        if (!is_number(l->columns[c].type) && l->widths[c] > narrowest(&l->columns[c]) &&
            (widest == l->count || l->widths[c] > l->widths[widest]))
            widest = c;
    }
    return widest;
}

static void fit(struct layout *l, size_t width)
{
    for (size_t total = total_width(l); total > width; total--) {
        size_t widest = widest_text(l);
        if (widest == l->count)
            return;
        l->widths[widest]--;
    }
}

/* --- writing ----------------------------------------------------------------------------- */

static void pad(struct text *out, size_t n)
{
    while (n-- > 0)
        text_add(out, " ", 1);
}

/* The length [bytes] of the first so many characters. */
static size_t prefix_length(const char *utf8, size_t characters)
{
    size_t n = 0;
    while (utf8[n] != '\0' && (characters > 0 || (utf8[n] & 0xc0) == 0x80))
        characters -= (utf8[n++] & 0xc0) != 0x80 && characters > 0;
    return n;
}

static void write_cell(const struct layout *l, size_t column, const char *cell, struct text *out)
{
    size_t room = l->widths[column], width = width_of(cell);
    bool last = column + 1 == l->count;
    if (width > room) {
        text_add(out, cell, prefix_length(cell, room - (sizeof(cut_mark) - 1)));
        text_add_string(out, cut_mark);
        width = room;
    } else if (is_number(l->columns[column].type)) {
        pad(out, room - width);
        text_add_string(out, cell);
        width = room;
    } else {
        text_add_string(out, cell);
    }
    if (!last)
        pad(out, room - width + GAP);
    else
        text_add(out, "\n", 1);
}

static size_t count_columns(const struct command_column *columns)
{
    size_t count = 0;
    while (columns[count].key != NULL && count < COLUMNS_MAX)
        count++;
    return count;
}

void table_write(const struct command_column *columns, const json_t *rows, unsigned width,
                 struct text *out)
{
    struct layout l = {.columns = columns, .count = count_columns(columns)};
    size_t i;
    json_t *row;
    text_init(&l.cell);
    measure(&l, rows);
    if (width > 0)
        fit(&l, width);
    for (size_t c = 0; c < l.count; c++)
        write_cell(&l, c, columns[c].title, out);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < l.count; c++)
            write_cell(&l, c, format_cell(&l, c, row), out);
    }
    text_free(&l.cell);
}

static bool has_value(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return value != NULL && !json_is_null(value);
}

void table_write_record(const struct command_column *columns, const json_t *row, struct text *out)
{
    size_t title = 0;
    for (const struct command_column *c = columns; c->key != NULL; c++) {
        if (has_value(row, c->key) && width_of(c->title) > title)
            title = width_of(c->title);
    }
    for (const struct command_column *c = columns; c->key != NULL; c++) {
        if (!has_value(row, c->key))
            continue;
        text_add_string(out, c->title);
        pad(out, title - width_of(c->title) + GAP);
        units_write(c->type, json_object_get(row, c->key), out);
        text_add(out, "\n", 1);
    }
}

/* Write the value whose key begins at `at`. Returns what follows it. */
static const char *write_value(const struct command *c, const json_t *row, const char *at,
                               struct text *out)
{
    const char *end = strchr(at, '}');
    size_t n = (size_t)(end - at);
    for (const struct command_column *column = c->columns; column->key != NULL; column++) {
        if (strlen(column->key) == n && memcmp(column->key, at, n) == 0)
            units_write(column->type, json_object_get(row, column->key), out);
    }
    return end + 1;
}

void table_write_sentence(const struct command *c, const json_t *row, struct text *out)
{
    const char *at = c->sentence;
    for (const char *brace; (brace = strchr(at, '{')) != NULL;) {
        text_add(out, at, (size_t)(brace - at));
        at = write_value(c, row, brace + 1, out);
    }
    text_add_string(out, at);
    text_add(out, "\n", 1);
}
