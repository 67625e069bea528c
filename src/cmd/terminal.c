#include "cmd/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/units.h"

unsigned terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void terminal_print_lines(const json_t *lines, FILE *to)
{
    size_t i;
    json_t *line;
    struct text out;
    text_init(&out);
    json_array_foreach(lines, i, line)
    {
        if (!json_is_string(line))
            continue;
        units_write_string(json_string_value(line), &out);
        text_add(&out, "\n", 1);
    }
    if (out.data != NULL)
        fputs(out.data, to);
    text_free(&out);
}
