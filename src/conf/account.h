/*
 * Which user and group weft becomes: those that the file names, else the defaults there are on this
 * system.
 */
#ifndef WEFT_CONF_ACCOUNT_H
#define WEFT_CONF_ACCOUNT_H

#include "conf/draft.h"

/**
 * Look up the draft's user and group, and note a fault where the file names one that there is not.
 *
 *      user:  as given   > weft                         > nobody
 *      group: as given   > weft, unless a user is given > the user's own
 *
 * A number will do for a name, and needs no entry in the system's tables. May block: those may be
 * on the network.
 */
void account_settle(struct draft *d);

#endif
