/*
 * Descriptors kept back: whatever worker processes ask for, the master can still start another one.
 */
#ifndef WEFT_MASTER_SPARE_H
#define WEFT_MASTER_SPARE_H

#include "base/attr.h"

/**
 * Refuse one of the last descriptors that there may be. Returns `fd`, or -EMFILE with it closed; an
 * -errno is passed through.
 */
int spare_check(int fd) WEFT_MUSTCHECK;

#endif
