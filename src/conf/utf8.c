#include "conf/utf8.h"

#include <stddef.h>

#include "base/attr.h"

/* What a first byte says of its character. */
static const struct {
    unsigned char mask, bits; /* the byte, masked, equals bits */
    int more;                 /* bytes that follow */
    int32_t least;            /* below it the form is overlong */
} forms[] = {
    {0x80, 0x00, 0, 0},
    {0xe0, 0xc0, 1, 0x80},
    {0xf0, 0xe0, 2, 0x800},
    {0xf8, 0xf0, 3, 0x10000},
};

/* The bytes after the first; the string's NUL ends it, as it is none of them. */
static int32_t following(const unsigned char *p, int more, int32_t c)
{
    for (int i = 0; i < more; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c;
}

int32_t utf8_next(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    *s += 1;
    for (size_t i = 0; i < array_size(forms); i++) {
        if ((*p & forms[i].mask) != forms[i].bits)
            continue;
        int32_t c = following(p + 1, forms[i].more, *p & (unsigned char)~forms[i].mask);
        if (c < forms[i].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return -1;
        *s += forms[i].more;
        return c;
    }
    return -1;
}

bool utf8_visible(int32_t c)
{
    static const struct {
        int32_t first, last;
    } hidden[] = {
        {-1, 0x1f},       {0x7f, 0x9f},     {0x200b, 0x200f}, /* widths of zero, directions */
        {0x2028, 0x202e}, {0x2060, 0x206f},                   /* separators, directions */
        {0xfeff, 0xfeff}, {0xfff9, 0xffff},                   /* byte order mark, specials */
    };
    for (size_t i = 0; i < array_size(hidden); i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

bool utf8_printable(const char *s)
{
    while (*s != '\0')
        if (!utf8_visible(utf8_next(&s)))
            return false;
    return true;
}
