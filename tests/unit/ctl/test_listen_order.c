#include "ctl/listen_order.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "unit.h"

static char key[LISTEN_KEY_SIZE];

static struct addr parse(const char *text, bool *ret_any)
{
    struct addr_spec spec;
    const char *why = NULL;
    ck_assert_msg(addr_parse(text, &spec, &why) == 0, "%s: %s", text, why);
    *ret_any = spec.any;
    return spec.addr;
}

/* An order as a worker process writes it. */
static json_t *order(const char *text)
{
    struct listen_order o = {.key = key, .count = 4};
    if (strncmp(text, LISTEN_KEY_HANDED, strlen(LISTEN_KEY_HANDED)) == 0)
        snprintf(key, sizeof(key), "%s", text);
    else {
        o.addr = parse(text, &o.any);
        listen_order_key(&o.addr, o.any, key);
    }
    o.options = (struct socket_listen_options){
        .common = {.nodelay = true,
                   .keepalive = {.idle = INT64_C(60000000000), .interval = 7, .count = 3},
                   .receive_buffer = 65536,
                   .send_buffer = 131072},
        .backlog = 4096,
        .defer_accept = INT64_C(5000000000),
        .fastopen = 16,
    };
    json_t *body = listen_order_write(&o);
    ck_assert_ptr_nonnull(body);
    return body;
}

static bool reads(json_t *body)
{
    struct listen_order o;
    bool ok = listen_order_read(body, &o);
    json_decref(body);
    return ok;
}

/* Whether an order is read once `name` in it is something else. */
static bool reads_with(const char *name, json_t *value)
{
    json_t *body = order("127.0.0.1:80");
    json_object_set_new(body, name, value);
    return reads(body);
}

START_TEST(is_read_as_it_was_written)
{
    static const char *const texts[] = {
        "10.0.0.1:80", "[2001:db8::1]:443", "[fe80::1%lo]:80", "[::]:80",     ":80",
        "0.0.0.0:80",  "unix:/run/a.sock",  "unix:@abstract",  "systemd:web",
    };
    for (size_t i = 0; i < array_size(texts); i++) {
        struct listen_order o;
        json_t *body = order(texts[i]);
        ck_assert_msg(listen_order_read(body, &o), "%s", texts[i]);
        ck_assert_str_eq(o.key, key);
        bool any = false, handed = texts[i][0] == 's';
        struct addr a = {.len = 0};
        if (!handed)
            a = parse(texts[i], &any);
        ck_assert(addr_equal(&o.addr, &a));
        ck_assert_int_eq(o.any, any);
        ck_assert_int_eq(o.options.dual_stack, any);
        ck_assert_uint_eq(o.count, 4);
        json_decref(body);
    }
}
END_TEST

START_TEST(all_options_are_in_it)
{
    struct listen_order o;
    json_t *body = order("127.0.0.1:80");
    ck_assert(listen_order_read(body, &o));
    ck_assert(o.options.common.nodelay);
    ck_assert(o.options.reuse_port);
    ck_assert_int_eq(o.options.common.keepalive.idle, INT64_C(60000000000));
    ck_assert_int_eq(o.options.common.keepalive.interval, 7);
    ck_assert_int_eq(o.options.common.keepalive.count, 3);
    ck_assert_int_eq(o.options.common.receive_buffer, 65536);
    ck_assert_int_eq(o.options.common.send_buffer, 131072);
    ck_assert_int_eq(o.options.backlog, 4096);
    ck_assert_int_eq(o.options.defer_accept, INT64_C(5000000000));
    ck_assert_int_eq(o.options.fastopen, 16);
    json_decref(body);
}
END_TEST

/* One takes both families, the other v6 alone: a reload from one to the other needs new sockets. */
START_TEST(every_address_is_not_called_as_every_v6_address)
{
    bool any;
    struct addr a = parse(":80", &any);
    listen_order_key(&a, any, key);
    ck_assert_str_eq(key, ":80");
    a = parse("[::]:80", &any);
    listen_order_key(&a, any, key);
    ck_assert_str_eq(key, "[::]:80");
}
END_TEST

START_TEST(a_key_of_another_address_is_refused)
{
    ck_assert(reads_with("key", json_string("127.0.0.1:80")));
    ck_assert(!reads_with("key", json_string("127.0.0.1:81")));
    ck_assert(!reads_with("key", json_string("systemd:web")));
    ck_assert(!reads_with("key", json_string("")));
    ck_assert(!reads_with("key", json_null()));
    ck_assert(!reads_with("any", json_true()));
    ck_assert(!reads_with("address", json_string("")));
    json_t *body = order(":80");
    json_object_set_new(body, "any", json_false());
    ck_assert(!reads(body));
    body = order("unix:/a");
    json_object_set_new(body, "any", json_true());
    json_object_set_new(body, "key", json_string(":12033"));
    ck_assert(!reads(body));
    body = order("systemd:web");
    json_object_set_new(body, "any", json_true());
    ck_assert(!reads(body));
}
END_TEST

START_TEST(every_key_must_be_there_and_of_its_type)
{
    json_t *good = order("127.0.0.1:80");
    const char *name;
    json_t *value;
    unsigned count = 0;
    json_object_foreach(good, name, value)
    {
        json_t *without = json_copy(good);
        json_object_del(without, name);
        ck_assert_msg(!reads(without), "without %s", name);
        json_t *wrong = json_copy(good);
        json_object_set_new(wrong, name, json_array());
        ck_assert_msg(!reads(wrong), "with another %s", name);
        count++;
    }
    ck_assert_uint_eq(count, 13);
    json_decref(good);
    ck_assert(!reads(json_array()));
    ck_assert(!reads(json_null()));
}
END_TEST

START_TEST(a_count_beyond_reason_is_refused)
{
    ck_assert(reads_with("count", json_integer(1)));
    ck_assert(reads_with("count", json_integer(65535)));
    ck_assert(!reads_with("count", json_integer(0)));
    ck_assert(!reads_with("count", json_integer(-1)));
    ck_assert(!reads_with("count", json_integer(65536)));
    ck_assert(!reads_with("count", json_integer(INT64_C(1) << 32 | 4)));
    ck_assert(!reads_with("count", json_real(4)));
}
END_TEST

/* --- addresses ----------------------------------------------------------------------------- */

static bool reads_address(const struct addr *a)
{
    struct addr got;
    json_t *value = listen_order_write_addr(a);
    bool ok = listen_order_read_addr(value, &got);
    json_decref(value);
    return ok;
}

static bool reads_unix(const char *name, size_t n)
{
    struct addr a = {.un.sun_family = AF_UNIX};
    memcpy(a.un.sun_path, name, n);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return reads_address(&a);
}

START_TEST(an_address_that_is_cut_is_refused)
{
    static const char *const texts[] = {"10.0.0.1:80", "[::1]:443"};
    for (size_t i = 0; i < array_size(texts); i++) {
        bool any;
        struct addr a = parse(texts[i], &any);
        ck_assert(reads_address(&a));
        a.len--;
        ck_assert(!reads_address(&a));
        a.len += 2;
        ck_assert(!reads_address(&a));
    }
    struct addr other = {.sa.sa_family = AF_PACKET, .len = sizeof(struct sockaddr_in)};
    ck_assert(!reads_address(&other));
}
END_TEST

START_TEST(a_unix_name_must_be_one_that_a_file_could_have)
{
    ck_assert(reads_unix("/a", 3));
    ck_assert(reads_unix("/a\0\0", 4));
    ck_assert(!reads_unix("/a", 2)); /* its NUL is not there */
    ck_assert(!reads_unix("/a\0b", 5));
    ck_assert(!reads_unix("a", 2));
    ck_assert(!reads_unix("@a", 3));
    ck_assert(!reads_unix("/a\n", 4));
    ck_assert(!reads_unix("", 0));
    ck_assert(!reads_unix("", 1));
    ck_assert(reads_unix("\0a", 2));
    ck_assert(!reads_unix("\0a\0", 3));
    ck_assert(!reads_unix("\0\x7f", 2));
}
END_TEST

START_TEST(the_longest_unix_path_fits)
{
    struct addr a = {.un.sun_family = AF_UNIX, .len = sizeof(a.un)};
    memset(a.un.sun_path, '/', sizeof(a.un.sun_path) - 1);
    ck_assert(reads_address(&a));
    a.un.sun_path[sizeof(a.un.sun_path) - 1] = 'a';
    ck_assert(!reads_address(&a));
}
END_TEST

START_TEST(what_is_no_hexadecimal_number_is_no_address)
{
    static const char *const wrong[] = {"0", "0g", "G0", "0200005", " 0", "0x02", "AF"};
    struct addr a;
    for (size_t i = 0; i < array_size(wrong); i++) {
        json_t *value = json_string(wrong[i]);
        ck_assert_msg(!listen_order_read_addr(value, &a), "%s", wrong[i]);
        json_decref(value);
    }
    ck_assert(!listen_order_read_addr(NULL, &a));
    char digits[2 * sizeof(a.un) + 3];
    memset(digits, '0', sizeof(digits));
    digits[sizeof(digits) - 1] = '\0';
    json_t *value = json_string(digits);
    ck_assert(!listen_order_read_addr(value, &a));
    json_decref(value);
}
END_TEST

START_TEST(no_address_is_an_empty_string)
{
    struct addr a = {.len = 0}, got = {.len = 1};
    json_t *value = listen_order_write_addr(&a);
    ck_assert_str_eq(json_string_value(value), "");
    ck_assert(listen_order_read_addr(value, &got));
    ck_assert_uint_eq(got.len, 0);
    json_decref(value);
}
END_TEST

UNIT_MAIN("listen_order", is_read_as_it_was_written, all_options_are_in_it,
          every_address_is_not_called_as_every_v6_address, a_key_of_another_address_is_refused,
          every_key_must_be_there_and_of_its_type, a_count_beyond_reason_is_refused,
          an_address_that_is_cut_is_refused, a_unix_name_must_be_one_that_a_file_could_have,
          the_longest_unix_path_fits, what_is_no_hexadecimal_number_is_no_address,
          no_address_is_an_empty_string)
