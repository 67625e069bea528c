#include "conf/syntax.h"

#include <stdbool.h>

#include "conf/fault.h"

/* Whether a byte begins a character, in UTF-8. */
static bool begins(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

/* libyaml says of bytes that it can't read only how many are before them. */
static struct conf_mark mark_at(const struct syntax_source *s, size_t offset)
{
    struct conf_mark mark = {.file = s->file, .line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < s->size; i++) {
        if (s->bytes[i] == '\n') {
            mark.line++;
            mark.column = 1;
        } else {
            mark.column += begins(s->bytes[i]);
        }
    }
    return mark;
}

/* The offset of the character number `index`. */
static size_t offset_of(const struct syntax_source *s, size_t index)
{
    size_t i = 0;
    while (i < s->size && (index > 0 || !begins(s->bytes[i])))
        index -= begins(s->bytes[i++]);
    return i;
}

/* An address in brackets without quotes is a list to YAML: [::]:443 and [:80] come to grief. */
static bool bare_address_near(const struct syntax_source *s, size_t offset)
{
    size_t i = offset < s->size ? offset : s->size;
    while (i > 0 && s->bytes[i - 1] != '\n')
        i--;
    for (; i + 1 < s->size && s->bytes[i] != '\n'; i++) {
        bool bracket_port = s->bytes[i] == ']' && s->bytes[i + 1] == ':';
        bool bracket_colon = s->bytes[i] == '[' && s->bytes[i + 1] == ':';
        if (bracket_port || bracket_colon)
            return true;
    }
    return false;
}

static const char *hint(const struct syntax_source *s, size_t offset)
{
    if (offset < s->size && s->bytes[offset] == '\t')
        return ": indent with spaces, not tabs";
    if (bare_address_near(s, offset))
        return ": an address that begins with '[' or ':' needs quotes here";
    return "";
}

static void reader_fault(const struct syntax_source *s, const yaml_parser_t *p,
                         struct conf_faults *faults)
{
    struct conf_mark mark = mark_at(s, p->problem_offset);
    fault_add(faults, &mark, "%s: the file must be text in UTF-8", p->problem);
}

void syntax_fault(const struct syntax_source *source, const yaml_parser_t *parser,
                  struct conf_faults *faults)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        fault_no_memory(faults);
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        reader_fault(source, parser, faults);
        return;
    }
    const yaml_mark_t at = parser->problem_mark, from = parser->context_mark;
    const struct conf_mark mark = {source->file, (unsigned)at.line + 1, (unsigned)at.column + 1};
    const char *advice = hint(source, offset_of(source, at.index));
    if (parser->context == NULL)
        fault_add(faults, &mark, "%s%s", parser->problem, advice);
    else if (from.index == at.index)
        fault_add(faults, &mark, "%s %s%s", parser->problem, parser->context, advice);
    else
        fault_add(faults, &mark, "%s %s that begins at line %zu, column %zu%s", parser->problem,
                  parser->context, from.line + 1, from.column + 1, advice);
}
