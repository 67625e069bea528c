#include "proxy/drain.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define GRACE_MAX  NSEC_PER_SEC         /* for a farewell ... */
#define GRACE_PART 10                   /* ... and no more than this part of the whole time */
#define END_PART   100                  /* see end_session() */
#define SPARED     NSEC_PER_SEC         /* silence after which a session is not spared any more */
#define TICK_MIN   (10 * NSEC_PER_MSEC) /* between two looks */
#define TICK_MAX   (500 * NSEC_PER_MSEC)

/* A session in the queue, by the activity that was seen last: there may have been more since. */
struct entry {
    int64_t activity; /* [monotonic ns] */
    struct session *session;
};

struct drain_share {
    struct drain *drain;
    struct shard *shard;
    struct list link; /* in the shard's drains */
    struct shard_message message;
    struct notice over;

    struct entry *queue; /* a heap: the first one has been idle longest */
    uint32_t capacity;
    _Atomic uint64_t
        waiting;          /* members of `queue`; the shard's own thread alone writes these two */
    _Atomic uint64_t all; /* sessions, ever */

    /* The line along which the number falls: from `from` at `since` to 0 at `until`. */
    uint64_t from;
    int64_t since; /* [monotonic ns] */
    int64_t until; /* [monotonic ns] */
    double phase;  /* of one session's step down, in (0, 1]: shards take turns */
    bool sparing;
    int64_t next; /* [monotonic ns] the next look */
};

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void store(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

/* --- the queue ---------------------------------------------------------------------------- */

static void put(struct drain_share *share, uint64_t place, struct entry e)
{
    share->queue[place] = e;
    e.session->drain_place = (uint32_t)place + 1;
}

static void sift_up(struct drain_share *share, uint64_t place)
{
    struct entry e = share->queue[place];
    while (place > 0 && share->queue[(place - 1) / 2].activity > e.activity) {
        put(share, place, share->queue[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(share, place, e);
}

static void sift_down(struct drain_share *share, uint64_t place)
{
    struct entry e = share->queue[place];
    uint64_t count = load(&share->waiting);
    for (uint64_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && share->queue[child + 1].activity < share->queue[child].activity)
            child++;
        if (share->queue[child].activity >= e.activity)
            break;
        put(share, place, share->queue[child]);
    }
    put(share, place, e);
}

static bool grow(struct drain_share *share)
{
    uint32_t capacity = share->capacity > 0 ? 2 * share->capacity : 64;
    struct entry *queue = realloc(share->queue, capacity * sizeof(*queue));
    if (queue == NULL)
        return false;
    share->queue = queue;
    share->capacity = capacity;
    return true;
}

static bool push(struct drain_share *share, struct session *s)
{
    uint64_t count = load(&share->waiting);
    if (count == share->capacity && !grow(share))
        return false;
    share->queue[count] = (struct entry){.activity = s->relay.activity, .session = s};
    store(&share->waiting, count + 1);
    sift_up(share, count);
    return true;
}

static void take_out(struct drain_share *share, uint64_t place)
{
    uint64_t last = load(&share->waiting) - 1;
    share->queue[place].session->drain_place = 0;
    store(&share->waiting, last);
    if (place == last)
        return;
    put(share, place, share->queue[last]);
    sift_down(share, place);
    sift_up(share, share->queue[place].session->drain_place - 1);
}

/* The session that has been idle longest, by what is known now. */
static const struct entry *first(struct drain_share *share)
{
    struct entry *e = &share->queue[0];
    while (e->session->relay.activity > e->activity) {
        e->activity = e->session->relay.activity;
        sift_down(share, 0);
    }
    return e;
}

/* --- the line ----------------------------------------------------------------------------- */

static void set_line(struct drain_share *share, uint64_t from, int64_t since)
{
    share->from = from;
    share->since = since;
}

/* How many sessions there may be now. */
static uint64_t allowed(const struct drain_share *share, int64_t now)
{
    if (now >= share->until)
        return 0;
    double part = (double)(now - share->since) / (double)(share->until - share->since);
    double gone = (double)share->from * part + 1 - share->phase;
    return gone >= (double)share->from ? 0 : share->from - (uint64_t)gone;
}

/*
 * Shards that have a session each should not all end it at the same time: they take different
 * parts of a step, as far apart as can be when nobody knows how many there will be (van der
 * Corput's sequence).
 */
static double take_phase(struct drain *d)
{
    unsigned rank = atomic_fetch_add(&d->ranks, 1);
    double phase = 1, part = 1;
    for (; rank > 0; rank /= 2) {
        part /= 2;
        phase -= (rank & 1) * part;
    }
    return phase;
}

static int64_t tick(const struct drain_share *share)
{
    int64_t step = (share->until - share->drain->begun) / (int64_t)(share->from + 1);
    return step < TICK_MIN ? TICK_MIN : step > TICK_MAX ? TICK_MAX : step;
}

/* --- ending ------------------------------------------------------------------------------- */

/* A little before the end all farewells are over, so that nobody has to cut them short there. */
static void end_session(struct drain_share *share, struct session *s, int64_t now)
{
    const struct drain *d = share->drain;
    int64_t end = d->end - (d->end - d->begun) / END_PART;
    int64_t grace = now + GRACE_MAX;
    session_part(s, end > now && end < grace ? end : grace);
}

static void end_due(struct drain_share *share, int64_t now)
{
    uint64_t limit = allowed(share, now);
    while (load(&share->waiting) > limit) {
        const struct entry *e = first(share);
        if (share->sparing && e->activity > now - SPARED)
            return;
        struct session *s = e->session;
        take_out(share, 0);
        end_session(share, s, now);
    }
}

/* In the last quarter nobody is spared, and those who were are spread over it. */
static void stop_sparing(struct drain_share *share, int64_t quarter, int64_t now)
{
    end_due(share, now);
    share->sparing = false;
    if (load(&share->waiting) > allowed(share, now))
        set_line(share, load(&share->waiting), quarter);
}

static void say_over(struct drain_share *share)
{
    list_remove(&share->link);
    mailbox_post(share->shard->group->control, &share->over.mail);
}

/* Returns whether there is anything left to do. */
static bool share_turn(struct drain_share *share, int64_t now)
{
    int64_t quarter = share->until - (share->until - share->drain->begun) / 4;
    if (share->sparing && now >= quarter)
        stop_sparing(share, quarter, now);
    end_due(share, now);
    share->next = now + tick(share);
    if (share->next > share->until)
        share->next = share->until;
    bool open = share->drain->concerns == NULL; /* there may be more to come */
    return load(&share->waiting) > 0 || (open && now < share->until);
}

int64_t drain_next(const struct shard *shard)
{
    int64_t next = CLOCK_NEVER;
    list_for_each (l, &shard->drains) {
        const struct drain_share *share = container_of(l, struct drain_share, link);
        if (share->next < next)
            next = share->next;
    }
    return next;
}

void drain_turn(struct shard *shard)
{
    int64_t now = clock_now();
    list_for_each_safe (l, &shard->drains) {
        struct drain_share *share = container_of(l, struct drain_share, link);
        if (share->next <= now && !share_turn(share, now))
            say_over(share);
    }
}

void drain_leave(struct shard *shard)
{
    list_for_each_safe (l, &shard->drains)
        say_over(container_of(l, struct drain_share, link));
}

/* --- beginning ---------------------------------------------------------------------------- */

/* One that can't wait for its turn, for want of memory, ends now. */
static void admit(struct drain_share *share, struct session *s)
{
    store(&share->all, load(&share->all) + 1);
    if (push(share, s))
        share->from++;
    else
        end_session(share, s, clock_now());
}

static bool concerns(const struct drain_share *share, const struct session *s)
{
    const struct drain *d = share->drain;
    return s->drain_place == 0 && s->ordered_end == END_NONE &&
           (d->concerns == NULL || d->concerns(d, s));
}

static void deliver(struct shard_message *m, struct shard *shard)
{
    struct drain_share *share = container_of(m, struct drain_share, message);
    const struct drain *d = share->drain;
    int64_t grace = (d->end - d->begun) / GRACE_PART;
    share->shard = shard;
    share->until = d->end - (grace < GRACE_MAX ? grace : GRACE_MAX);
    share->sparing = true;
    set_line(share, 0, d->begun);
    list_push_back(&shard->drains, &share->link);
    list_for_each (l, &shard->live) {
        struct session *s = container_of(l, struct session, link);
        if (concerns(share, s))
            admit(share, s);
    }
    share->phase = load(&share->waiting) > 0 ? take_phase(share->drain) : 1;
    share->next = clock_now();
}

void drain_admit(struct session *s)
{
    list_for_each (l, &s->shard->drains) {
        struct drain_share *share = container_of(l, struct drain_share, link);
        if (share->drain->concerns == NULL && concerns(share, s))
            admit(share, s);
    }
}

void drain_forget(struct session *s)
{
    uint64_t place = s->drain_place - 1;
    list_for_each (l, &s->shard->drains) {
        struct drain_share *share = container_of(l, struct drain_share, link);
        if (place < load(&share->waiting) && share->queue[place].session == s) {
            take_out(share, place);
            return;
        }
    }
}

static void deliver_over(struct notice *n)
{
    struct drain *d = container_of(n, struct drain_share, over)->drain;
    if (++d->over == d->group->count)
        d->done(d);
}

int drain_init(struct drain *d, const struct shard_group *group)
{
    *d = (struct drain){
        .group = group,
        .shares = calloc(group->count, sizeof(*d->shares)),
    };
    if (d->shares == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < group->count; i++) {
        d->shares[i].drain = d;
        d->shares[i].message.deliver = deliver;
        d->shares[i].over.deliver = deliver_over;
        list_init(&d->shares[i].link);
    }
    return 0;
}

void drain_begin(struct drain *d)
{
    for (unsigned i = 0; i < d->group->count; i++)
        shard_post(d->group->shards[i], &d->shares[i].message);
}

void drain_destroy(struct drain *d)
{
    for (unsigned i = 0; d->shares != NULL && i < d->group->count; i++)
        free(d->shares[i].queue);
    free(d->shares);
    d->shares = NULL;
}

void drain_progress(const struct drain *d, uint64_t *ret_all, uint64_t *ret_left)
{
    *ret_all = *ret_left = 0;
    for (unsigned i = 0; i < d->group->count; i++) {
        *ret_all += load(&d->shares[i].all);
        *ret_left += load(&d->shares[i].waiting);
    }
}
