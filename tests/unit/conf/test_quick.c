/* Quick mode: a configuration from the command line. */
#include "reading.h"

static char *quick(const char *const *listen, size_t listen_count, const char *const *backend,
                   size_t backend_count)
{
    const struct conf *c;
    struct conf_faults *faults;
    struct text out;
    text_init(&out);
    if (conf_quick(listen, listen_count, backend, backend_count, &c, &faults) == 0) {
        conf_dump(c, &out);
        conf_unref(c);
    } else {
        conf_faults_write(faults, &out);
        conf_faults_free(faults);
    }
    return out.data;
}

START_TEST(it_is_as_a_file_with_the_same_addresses)
{
    const char *const listen[] = {":8080", "unix:/run/a b.sock"};
    const char *const backend[] = {"10.0.0.1:80", "[::1]:80"};
    char *made = quick(listen, 2, backend, 2);
    char *read = dump_of("listeners:\n"
                         "  quick: {bind: [':8080', 'unix:/run/a b.sock'], pool: quick}\n"
                         "pools:\n"
                         "  quick: {servers: ['10.0.0.1:80', '[::1]:80']}\n");
    ck_assert_str_eq(made, read);
    free(made);
    free(read);
}
END_TEST

START_TEST(every_fault_names_its_option)
{
    const char *const listen[] = {"8080", ":80", "0.0.0.0:80", "systemd:a:b", "unix:/a\nb", ":81"};
    const char *const backend[] = {":80", "10.0.0.1:80", "10.0.0.1:99999", "10.0.0.1:80"};
    char *faults = quick(listen, array_size(listen), backend, array_size(backend));
    ck_assert_str_eq(
        faults,
        "--backend: error: bad address ':80': a server needs a host, as in 127.0.0.1:80\n"
        "--backend: error: bad address '10.0.0.1:99999': the port must be a number from 1 to "
        "65535\n"
        "--backend: error: duplicate server '10.0.0.1:80'\n"
        "--listen: error: bad address '8080': HOST:PORT, :PORT, [IPV6]:PORT, unix:/PATH, "
        "unix:@NAME or systemd:NAME is expected\n"
        "--listen: error: duplicate bind address '0.0.0.0:80'\n"
        "--listen: error: bad address 'systemd:a:b': a systemd socket has a name of at most 255 "
        "visible characters, without ':'\n"
        "--listen: error: bad address 'unix:/a?b': it has characters that can't be shown\n");
    free(faults);
}
END_TEST

START_TEST(both_sides_are_needed)
{
    char *faults = quick(NULL, 0, NULL, 0);
    ck_assert_str_eq(faults, "--listen: error: at least one address is needed\n"
                             "--backend: error: at least one address is needed\n");
    free(faults);
}
END_TEST

UNIT_MAIN("quick", it_is_as_a_file_with_the_same_addresses, every_fault_names_its_option,
          both_sides_are_needed)
