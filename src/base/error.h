/*
 * Errors: a function that can fail returns 0 or a negative number, an errno of
 * the system's or one of ours below. Ours begin where no errno is.
 */
#ifndef WEFT_BASE_ERROR_H
#define WEFT_BASE_ERROR_H

enum weft_error {
    WEFT_EFIRST = 4096,
    WEFT_EADDR = WEFT_EFIRST, /* not an address */
    WEFT_ERESOLVE,            /* no such host name */
    WEFT_ECONF,               /* configuration with faults: the fault list has them */
    WEFT_ELAST
};

/**
 * What an error means, for people.
 *
 * `err` is a function's negative return value, or its positive counterpart.
 * Returns a string that is never freed and never NULL.
 */
const char *error_text(int err);

#endif
