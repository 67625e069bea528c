#include "base/error.h"

#include <string.h>

#include "base/attr.h"

static const char *const own_texts[] = {
    [WEFT_EADDR - WEFT_EFIRST] = "not an address",
    [WEFT_ERESOLVE - WEFT_EFIRST] = "host name does not resolve",
    [WEFT_ECONF - WEFT_EFIRST] = "configuration has faults",
};

_Static_assert(array_size(own_texts) == WEFT_ELAST - WEFT_EFIRST, "an error without a text");

const char *error_text(int err)
{
    if (err < 0)
        err = -err;
    if (err >= WEFT_EFIRST && err < WEFT_ELAST)
        return own_texts[err - WEFT_EFIRST];
    const char *text = strerrordesc_np(err);
    return text != NULL ? text : "unknown error";
}
