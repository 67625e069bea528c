/* Notices: mail that knows what is to be done with it, on the thread that receives it. */
#ifndef WEFT_PROXY_NOTICE_H
#define WEFT_PROXY_NOTICE_H

#include "fiber/mailbox.h"

struct notice {
    struct mail mail;
    void (*deliver)(struct notice *n); /* may free it */
};

#endif
