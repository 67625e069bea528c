#include "proxy/record.h"

#include <arpa/inet.h>
#include <string.h>

#include "unit.h"

static struct conf_server server;
static struct conf_pool pool = {.name = "backends"};
static struct conf_listener listener = {.name = "we\"b"};
static struct record record;
static struct text line;

static struct addr v4(const char *ip, unsigned port)
{
    struct addr a = {.len = sizeof(a.in)};
    a.in.sin_family = AF_INET;
    a.in.sin_port = htons((uint16_t)port);
    ck_assert_int_eq(inet_pton(AF_INET, ip, &a.in.sin_addr), 1);
    return a;
}

static void set_up(void)
{
    server = (struct conf_server){.name = "one", .address.addr = v4("10.0.0.1", 80)};
    record = (struct record){
        .listener = &listener,
        .pool = &pool,
        .server = &server,
        .time = INT64_C(1700000000123000000),
        .duration = 1500000000,
        .connect_duration = 250000,
        .queue_duration = -1,
        .id = 42,
        .bytes_in = 10,
        .bytes_out = 20,
        .generation = 1,
        .source = v4("192.0.2.7", 5000),
        .destination = v4("192.0.2.1", 443),
        .upstream_source = v4("10.0.0.9", 6000),
        .worker = 3,
        .retries = 1,
        .end = END_CLIENT_CLOSED,
    };
    text_init(&line);
}

static void tear_down(void)
{
    text_free(&line);
}

START_TEST(json_has_every_key)
{
    record_format_json(&line, &record);
    ck_assert_str_eq(line.data,
                     "{\"time\":\"2023-11-14T22:13:20.123Z\",\"id\":42,\"listener\":\"we\\\"b\","
                     "\"pool\":\"backends\",\"source\":\"192.0.2.7:5000\","
                     "\"destination\":\"192.0.2.1:443\",\"server\":\"one\","
                     "\"upstream_destination\":\"10.0.0.1:80\","
                     "\"upstream_source\":\"10.0.0.9:6000\",\"connect_duration\":0.000250,"
                     "\"retries\":1,\"bytes_in\":10,\"bytes_out\":20,\"duration\":1.500000,"
                     "\"end\":\"client_closed\",\"worker\":3,\"generation\":1,\"via\":\"copy\"}");
}
END_TEST

START_TEST(json_tells_of_splicing)
{
    record.spliced = true;
    record_format_json(&line, &record);
    ck_assert_ptr_nonnull(strstr(line.data, ",\"via\":\"splice\"}"));
}
END_TEST

START_TEST(json_tells_of_a_wait_for_a_server)
{
    record.queue_duration = 2000000;
    record_format_json(&line, &record);
    ck_assert_ptr_nonnull(strstr(line.data, ",\"queue_duration\":0.002000,"));
}
END_TEST

START_TEST(json_leaves_out_what_has_no_value)
{
    record.server = NULL;
    record.upstream_source.len = 0;
    record.connect_duration = -1;
    record.end = END_NO_SERVER;
    record_format_json(&line, &record);
    ck_assert_ptr_nonnull(strstr(line.data, "\"end\":\"no_server\""));
    ck_assert_ptr_null(strstr(line.data, "\"server\""));
    ck_assert_ptr_null(strstr(line.data, "upstream_"));
    ck_assert_ptr_null(strstr(line.data, "connect_duration"));
    ck_assert_ptr_null(strstr(line.data, "via"));
}
END_TEST

START_TEST(text_is_one_line)
{
    record_format_text(&line, &record);
    ck_assert_str_eq(line.data, "192.0.2.7:5000 [2023-11-14T22:13:20.123Z] we\"b backends/one "
                                "client_closed 10 20 1.500000 \"10.0.0.1:80\" 0.000250 1");
}
END_TEST

START_TEST(text_has_dashes_where_there_is_no_value)
{
    record.server = NULL;
    record.connect_duration = -1;
    record_format_text(&line, &record);
    ck_assert_str_eq(line.data, "192.0.2.7:5000 [2023-11-14T22:13:20.123Z] we\"b backends/- "
                                "client_closed 10 20 1.500000 \"-\" - 1");
}
END_TEST

UNIT_MAIN_AROUND("record", set_up, tear_down, json_has_every_key, json_tells_of_splicing,
                 json_tells_of_a_wait_for_a_server, json_leaves_out_what_has_no_value,
                 text_is_one_line, text_has_dashes_where_there_is_no_value)
