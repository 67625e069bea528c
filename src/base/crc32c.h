/*
 * CRC32C: the checksum with Castagnoli's polynomial, as in RFC 3720 section 12.1 and appendix B.4.
 */
#ifndef WEFT_BASE_CRC32C_H
#define WEFT_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** The checksum of `n` bytes that follow upon those with the checksum `before`; 0 for none. */
uint32_t crc32c(uint32_t before, const void *bytes, size_t n);

#endif
