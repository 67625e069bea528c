#include "master/snapshot.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "alloc.h"
#include "places.h"

static struct snapshot *snapshot;

static void set_up(void)
{
    make_directory();
    write_file(path_of("weft.yaml"), "main");
    ck_assert_int_eq(snapshot_take(path_of("weft.yaml"), &snapshot), 0);
}

static void tear_down(void)
{
    snapshot_unref(snapshot);
    remove_directory();
}

static const char *text_in(const struct snapshot_file *f)
{
    static char text[64];
    int fd = snapshot_open(f);
    ck_assert_msg(fd >= 0, "%d", fd);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(fd);
    return text;
}

static const struct snapshot_include *include(const char *pattern)
{
    const struct snapshot_include *i = NULL;
    ck_assert_int_eq(snapshot_include(snapshot, pattern, false, &i), 0);
    ck_assert_str_eq(i->pattern, pattern);
    return i;
}

static int include_beside(const char *pattern)
{
    const struct snapshot_include *i = NULL;
    return snapshot_include(snapshot, pattern, true, &i);
}

static ino_t inode_of(const struct snapshot_file *f)
{
    struct stat st;
    int fd = snapshot_open(f);
    ck_assert_int_eq(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

/* --- the main file ------------------------------------------------------------------------- */

START_TEST(a_copy_stays_as_it_was)
{
    write_file(path_of("weft.yaml"), "changed");
    ck_assert_str_eq(text_in(&snapshot->main), "main");
    unlink(path_of("weft.yaml"));
    ck_assert_str_eq(text_in(&snapshot->main), "main");
    ck_assert_str_eq(text_in(&snapshot->main), "main"); /* each is read from its beginning */
    ck_assert_str_eq(snapshot->main.path, path_of("weft.yaml"));
}
END_TEST

/* Who is given a copy must not change what the next one gets. */
START_TEST(nobody_can_write_to_a_copy)
{
    int fd = snapshot_open(&snapshot->main);
    ck_assert_int_lt((int)write(fd, "x", 1), 0);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", snapshot->main.fd);
    int again = open(link, O_RDWR);
    ck_assert(again < 0 || write(again, "x", 1) < 0);
    close(fd);
    ck_assert_str_eq(text_in(&snapshot->main), "main");
}
END_TEST

START_TEST(what_can_not_be_read_is_an_error)
{
    struct snapshot *s;
    unsigned before = open_descriptors();
    ck_assert_int_eq(snapshot_take(path_of("missing"), &s), -ENOENT);
    ck_assert_int_eq(snapshot_take(directory, &s), -EISDIR);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(quick_mode_has_no_file)
{
    struct snapshot *s;
    ck_assert_int_eq(snapshot_take(NULL, &s), 0);
    ck_assert_ptr_null(s->main.path);
    ck_assert_int_lt(s->main.fd, 0);
    ck_assert_int_lt(snapshot_open(&s->main), 0);
    snapshot_unref(s);
}
END_TEST

START_TEST(a_reference_keeps_it)
{
    struct snapshot *again = snapshot_ref(snapshot);
    ck_assert_ptr_eq(again, snapshot);
    snapshot_unref(snapshot);
    ck_assert_str_eq(text_in(&again->main), "main");
    snapshot_unref(NULL);
}
END_TEST

/* As much as shows that it is too large: what reads it says so. */
START_TEST(of_a_file_without_end_enough_is_copied)
{
    struct snapshot *s;
    struct stat st;
    ck_assert_int_eq(snapshot_take("/dev/zero", &s), 0);
    ck_assert_int_eq(fstat(s->main.fd, &st), 0);
    ck_assert_int_gt(st.st_size, 16 << 20);
    ck_assert_int_lt(st.st_size, 20 << 20);
    snapshot_unref(s);
}
END_TEST

/* As a shell has it: weft -c <(generate) */
START_TEST(a_fifo_is_read_to_its_end)
{
    struct snapshot *s;
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    int keep = open(path_of("fifo"), O_RDONLY | O_NONBLOCK);
    int to = open(path_of("fifo"), O_WRONLY);
    pid_t writer = fork();
    if (writer == 0) {
        for (int i = 0; i < 3; i++) {
            usleep(50000);
            (void)!write(to, "part ", 5);
        }
        _exit(0);
    }
    close(to);
    ck_assert_int_eq(snapshot_take(path_of("fifo"), &s), 0);
    close(keep);
    ck_assert_str_eq(text_in(&s->main), "part part part ");
    snapshot_unref(s);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
}
END_TEST

START_TEST(a_fifo_that_nobody_writes_to_holds_nobody_up)
{
    struct snapshot *s;
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    ck_assert_int_eq(snapshot_take(path_of("fifo"), &s), 0);
    ck_assert_str_eq(text_in(&s->main), "");
    snapshot_unref(s);
    int to = open(path_of("fifo"), O_RDWR); /* somebody who never writes */
    ck_assert_int_eq(snapshot_take(path_of("fifo"), &s), -ETIMEDOUT);
    close(to);
}
END_TEST

/* --- includes ------------------------------------------------------------------------------ */

START_TEST(an_include_is_as_it_was_when_it_was_first_asked_for)
{
    write_file(path_of("a.inc"), "a");
    write_file(path_of("b.inc"), "b");
    const struct snapshot_include *i = include(path_of("*.inc"));
    ck_assert_uint_eq(i->count, 2);
    write_file(path_of("a.inc"), "changed");
    unlink(path_of("b.inc"));
    write_file(path_of("c.inc"), "c");
    i = include(path_of("*.inc"));
    ck_assert_uint_eq(i->count, 2);
    ck_assert_str_eq(i->files[0].path, path_of("a.inc"));
    ck_assert_str_eq(text_in(&i->files[0]), "a");
    ck_assert_str_eq(i->files[1].path, path_of("b.inc"));
    ck_assert_str_eq(text_in(&i->files[1]), "b");
}
END_TEST

START_TEST(an_include_that_stands_for_nothing_goes_on_to)
{
    ck_assert_uint_eq(include(path_of("*.inc"))->count, 0);
    write_file(path_of("a.inc"), "a");
    ck_assert_uint_eq(include(path_of("*.inc"))->count, 0);
}
END_TEST

START_TEST(a_file_that_can_not_be_read_is_told_of)
{
    const struct snapshot_include *i = include(path_of("missing"));
    ck_assert_uint_eq(i->count, 1);
    ck_assert_int_eq(i->files[0].fd, -ENOENT);
    ck_assert_int_eq(snapshot_open(&i->files[0]), -ENOENT);
    ck_assert_int_eq(mkdir(path_of("d.inc"), 0700), 0);
    i = include(path_of("*.inc"));
    ck_assert_int_eq(i->files[0].fd, -EISDIR);
}
END_TEST

/* What reads the copies tells files apart by their inodes: one that includes itself, or is named
 * twice, must be seen to be one. */
START_TEST(a_file_by_two_names_is_one_copy)
{
    write_file(path_of("a.inc"), "a");
    ck_assert_int_eq(link(path_of("a.inc"), path_of("b.inc")), 0);
    ck_assert_int_eq(symlink("weft.yaml", path_of("c.inc")), 0);
    write_file(path_of("d.inc"), "a");
    const struct snapshot_include *i = include(path_of("*.inc"));
    ck_assert_uint_eq(i->count, 4);
    ino_t a = inode_of(&i->files[0]);
    ck_assert_uint_eq(inode_of(&i->files[1]), a);
    ck_assert_uint_eq(inode_of(&i->files[2]), inode_of(&snapshot->main));
    ck_assert_uint_ne(inode_of(&i->files[3]), a);
    i = include(path_of("a.inc"));
    ck_assert_uint_eq(inode_of(&i->files[0]), a);
    ck_assert_int_ne(i->files[0].fd, include(path_of("*.inc"))->files[0].fd);
}
END_TEST

START_TEST(a_replaced_file_is_another_one)
{
    write_file(path_of("a.inc"), "old");
    include(path_of("a.inc"));
    write_file(path_of("new"), "new");
    ck_assert_int_eq(rename(path_of("new"), path_of("a.inc")), 0);
    ck_assert_str_eq(text_in(&include(path_of("a.in?"))->files[0]), "new");
    ck_assert_str_eq(text_in(&include(path_of("a.inc"))->files[0]), "old");
}
END_TEST

/* --- for a process that is not trusted ------------------------------------------------------- */

START_TEST(what_is_beside_the_main_file_may_be_included)
{
    ck_assert_int_eq(mkdir(path_of("d"), 0700), 0);
    write_file(path_of("d/a.inc"), "a");
    ck_assert_int_eq(include_beside(path_of("d/a.inc")), 0);
    ck_assert_int_eq(include_beside(path_of("d/*")), 0);
    ck_assert_int_eq(include_beside(path_of("*/a.inc")), 0);
    ck_assert_int_eq(include_beside(path_of("none")), 0);
    ck_assert_int_eq(include_beside(path_of("..d/a.inc")), 0);
    ck_assert_int_eq(include_beside(path_of(".../a.inc")), 0);
    ck_assert_str_eq(text_in(&include(path_of("d/*"))->files[0]), "a");
}
END_TEST

START_TEST(what_is_elsewhere_is_not_even_looked_for)
{
    unsigned before = open_descriptors();
    ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
    ck_assert_int_eq(include_beside("/etc/passwd"), -EPERM);
    ck_assert_int_eq(include_beside("/*/passwd"), -EPERM);
    ck_assert_int_eq(include_beside(""), -EPERM);
    ck_assert_int_eq(include_beside("weft.yaml"), -EPERM);
    ck_assert_int_eq(include_beside(path_of("../*")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("d/../../x")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("\\.\\./*")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("d/..")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("/etc/passwd")), -EPERM);
    char sibling[128];
    snprintf(sibling, sizeof(sibling), "%s2/a.inc", directory);
    ck_assert_int_eq(include_beside(sibling), -EPERM);
    ck_assert_uint_eq(snapshot->include_count, 0);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(a_link_that_leads_elsewhere_is_not_followed)
{
    unsigned before = open_descriptors();
    ck_assert_int_eq(symlink("/etc", path_of("d")), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path_of("a.inc")), 0);
    ck_assert_int_eq(include_beside(path_of("d/passwd")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("*/passwd")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("a.inc")), -EPERM);
    ck_assert_int_eq(include_beside(path_of("*.inc")), -EPERM);
    ck_assert_uint_eq(open_descriptors(), before);
    /* Whoever may have it gets it. */
    ck_assert_int_gt(include(path_of("a.inc"))->files[0].fd, 0);
}
END_TEST

START_TEST(a_directory_with_special_characters_is_meant_as_it_is)
{
    char pattern[192];
    struct snapshot *s;
    const struct snapshot_include *i;
    ck_assert_int_eq(mkdir(path_of("a*b"), 0700), 0);
    ck_assert_int_eq(mkdir(path_of("axb"), 0700), 0);
    write_file(path_of("a*b/weft.yaml"), "main");
    write_file(path_of("a*b/a.inc"), "a");
    ck_assert_int_eq(snapshot_take(path_of("a*b/weft.yaml"), &s), 0);
    snprintf(pattern, sizeof(pattern), "%s/a\\*b/*.inc", directory);
    ck_assert_int_eq(snapshot_include(s, pattern, true, &i), 0);
    ck_assert_uint_eq(i->count, 1);
    snapshot_unref(s);
}
END_TEST

START_TEST(a_main_file_named_without_a_directory_is_in_this_one)
{
    struct snapshot *s;
    const struct snapshot_include *i;
    write_file(path_of("a.inc"), "a");
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(snapshot_take("weft.yaml", &s), 0);
    ck_assert_int_eq(snapshot_include(s, "*.inc", true, &i), 0);
    ck_assert_uint_eq(i->count, 1);
    ck_assert_int_eq(snapshot_include(s, "/etc/passwd", true, &i), -EPERM);
    snapshot_unref(s);
    ck_assert_int_eq(snapshot_take(NULL, &s), 0);
    ck_assert_int_eq(snapshot_include(s, "/etc/passwd", true, &i), -EPERM);
    snapshot_unref(s);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(the_number_of_includes_has_an_end)
{
    const struct snapshot_include *i;
    char name[32];
    int err = 0;
    unsigned n = 0;
    for (; err == 0 && n < 2000; n++) {
        snprintf(name, sizeof(name), "%u*", n);
        err = snapshot_include(snapshot, path_of(name), true, &i);
    }
    ck_assert_int_eq(err, -E2BIG);
    ck_assert_uint_ge(n, 1000);
}
END_TEST

START_TEST(the_size_of_all_copies_has_an_end)
{
    const struct snapshot_include *i;
    for (char c = 'a'; c < 'h'; c++) {
        char name[] = {c, '.', 'i', 'n', 'c', '\0'};
        write_file(path_of(name), name);
        ck_assert_int_eq(truncate(path_of(name), 16 << 20), 0);
    }
    ck_assert_int_eq(snapshot_include(snapshot, path_of("*.inc"), true, &i), 0);
    ck_assert_uint_eq(i->count, 7);
    ck_assert_int_gt(i->files[2].fd, 0);
    ck_assert_int_eq(i->files[4].fd, -EFBIG);
}
END_TEST

/* --- another life --------------------------------------------------------------------------- */

static struct snapshot *reborn(struct snapshot *s)
{
    json_t *saved = snapshot_save(s);
    ck_assert_ptr_nonnull(saved);
    struct snapshot *again = snapshot_load(saved);
    json_decref(saved);
    ck_assert_ptr_nonnull(again);
    return again;
}

START_TEST(a_path_in_one_of_its_files_is_mentioned)
{
    static const char content[] = "bind: \"unix:/run/a.sock\"\n"
                                  "log: {output: /var/log/b}\n"
                                  "  output:\t'/var/log/c' # output: /var/log/d\n"
                                  "# output: /var/log/e\n"
                                  "x_output: /var/log/f\n"
                                  "include: /etc/weft/more.yaml\n"
                                  "output: /end";
    static const char *const mentioned[] = {"/var/log/b", "/var/log/c", "/end"};
    static const char *const not_as_that[] = {
        "/var/log/d", "/var/log/e", "/var/log/f",          "/run/a.sock", "/log/b", "/var/log/",
        "/e",         "",           "/etc/weft/more.yaml", "/in/more",    "b",
    };
    write_file(path_of("paths.yaml"), content);
    write_file(path_of("more.yaml"), "output:/in/more");
    struct snapshot *s;
    const struct snapshot_include *i;
    ck_assert_int_eq(snapshot_take(path_of("paths.yaml"), &s), 0);
    for (size_t n = 0; n < array_size(mentioned); n++)
        ck_assert_msg(snapshot_mentions(s, "output:", mentioned[n]), "%s", mentioned[n]);
    for (size_t n = 0; n < array_size(not_as_that); n++)
        ck_assert_msg(!snapshot_mentions(s, "output:", not_as_that[n]), "%s", not_as_that[n]);
    ck_assert(snapshot_mentions(s, "unix:", "/run/a.sock"));
    ck_assert(!snapshot_mentions(s, "unix:", "/run/a.sock2"));
    ck_assert(!snapshot_mentions(s, "unix:", "/run/a"));
    ck_assert_int_eq(snapshot_include(s, path_of("more.yaml"), false, &i), 0);
    ck_assert(snapshot_mentions(s, "output:", "/in/more"));
    snapshot_unref(s);
}
END_TEST

START_TEST(is_read_as_it_was_saved)
{
    static struct snapshot *before; /* both have the descriptors: this one is not freed */
    write_file(path_of("a.inc"), "a");
    write_file(path_of("b.inc"), "b");
    include(path_of("*.inc"));
    include(path_of("none*"));
    include(path_of("missing"));
    struct snapshot *again = reborn(snapshot);
    unlink(path_of("a.inc"));
    before = snapshot;
    snapshot = again;
    ck_assert_str_eq(again->main.path, path_of("weft.yaml"));
    ck_assert_str_eq(text_in(&again->main), "main");
    ck_assert_str_eq(text_in(&include(path_of("*.inc"))->files[0]), "a");
    ck_assert_str_eq(text_in(&include(path_of("*.inc"))->files[1]), "b");
    ck_assert_uint_eq(include(path_of("none*"))->count, 0);
    ck_assert_int_eq(include(path_of("missing"))->files[0].fd, -ENOENT);
    ck_assert_uint_eq(again->include_count, 3);
    ck_assert_ptr_ne(before, again);
}
END_TEST

START_TEST(quick_mode_is_read_as_it_was_saved)
{
    struct snapshot *s;
    ck_assert_int_eq(snapshot_take(NULL, &s), 0);
    struct snapshot *again = reborn(s);
    ck_assert_ptr_null(again->main.path);
    ck_assert_int_lt(again->main.fd, 0);
    snapshot_unref(again);
    snapshot_unref(s);
}
END_TEST

START_TEST(a_name_that_is_not_utf8_does_not_prevent_saving)
{
    struct snapshot *s;
    write_file(path_of("caf\xe9"), "main");
    ck_assert_int_eq(snapshot_take(path_of("caf\xe9"), &s), 0);
    struct snapshot *again = reborn(s);
    ck_assert_str_eq(text_in(&again->main), "main");
    snapshot_unref(again);
    s->main.fd = -1;
    snapshot_unref(s);
}
END_TEST

START_TEST(what_was_not_saved_is_refused_and_nothing_closed)
{
    static const char *const wrong[] = {
        "{}",
        "{\"main\": {}}",
        "{\"main\": {\"path\": \"/a\"}}",
        "{\"main\": {\"path\": \"/a\", \"fd\": \"1\"}}",
        "{\"main\": {\"path\": \"/a\", \"fd\": 2}, \"includes\": [{}]}",
        "{\"main\": {\"path\": \"/a\", \"fd\": 2}, \"includes\": [{\"pattern\": 3}]}",
        "{\"main\": {\"fd\": 2}, \"includes\": [{\"pattern\": \"x\", \"files\": [{}]}]}",
    };
    for (size_t i = 0; i < array_size(wrong); i++) {
        json_t *saved = json_loads(wrong[i], 0, NULL);
        ck_assert_ptr_nonnull(saved);
        ck_assert_msg(snapshot_load(saved) == NULL, "%s", wrong[i]);
        json_decref(saved);
    }
    ck_assert_ptr_null(snapshot_load(NULL));
    ck_assert_int_ge(fcntl(STDERR_FILENO, F_GETFD), 0);
}
END_TEST

/* --- what there is not enough of ------------------------------------------------------------ */

START_TEST(without_memory_nothing_half_made_is_left)
{
    const struct snapshot_include *i;
    char *pattern = path_of("*.inc"), *path = path_of("weft.yaml");
    write_file(path_of("a.inc"), "a");
    write_file(path_of("b.inc"), "b");
    int err = -ENOMEM;
    for (long budget = 0; err < 0; budget++) {
        struct snapshot *s;
        unsigned before = open_descriptors();
        long live = atomic_load(&alloc_live);
        alloc_limit(budget);
        err = snapshot_take(path, &s);
        if (err == 0) {
            alloc_limit(-1);
            snapshot_unref(s);
        }
        alloc_limit(-1);
        ck_assert(err == 0 || err == -ENOMEM);
        ck_assert_uint_eq(open_descriptors(), before);
        ck_assert_int_eq(atomic_load(&alloc_live), live);
    }
    err = -ENOMEM;
    for (long budget = 0; err < 0; budget++) {
        alloc_limit(budget);
        err = snapshot_include(snapshot, pattern, true, &i);
        alloc_limit(-1);
        ck_assert(err == 0 || err == -ENOMEM || err == -EPERM);
        if (err == -ENOMEM && snapshot->include_count == 1) { /* it has been noted as that */
            snapshot_unref(snapshot);
            ck_assert_int_eq(snapshot_take(path, &snapshot), 0);
        }
    }
    ck_assert_uint_eq(i->count, 2);
}
END_TEST

START_TEST(the_last_descriptors_are_not_taken)
{
    const struct snapshot_include *i;
    char name[32];
    for (unsigned n = 0; n < 300; n++) {
        snprintf(name, sizeof(name), "%03u.inc", n);
        write_file(path_of(name), name);
    }
    struct rlimit r = {.rlim_cur = 256, .rlim_max = 256};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
    ck_assert_int_eq(snapshot_include(snapshot, path_of("*.inc"), true, &i), 0);
    ck_assert_uint_eq(i->count, 300);
    ck_assert_int_gt(i->files[100].fd, 0);
    ck_assert_int_eq(i->files[299].fd, -EMFILE);
    ck_assert_uint_lt(open_descriptors(), 256 - 24);
}
END_TEST

UNIT_MAIN_AROUND("snapshot", set_up, tear_down, a_copy_stays_as_it_was, nobody_can_write_to_a_copy,
                 what_can_not_be_read_is_an_error, quick_mode_has_no_file, a_reference_keeps_it,
                 of_a_file_without_end_enough_is_copied, a_fifo_is_read_to_its_end,
                 a_fifo_that_nobody_writes_to_holds_nobody_up,
                 an_include_is_as_it_was_when_it_was_first_asked_for,
                 an_include_that_stands_for_nothing_goes_on_to,
                 a_file_that_can_not_be_read_is_told_of, a_file_by_two_names_is_one_copy,
                 a_replaced_file_is_another_one, what_is_beside_the_main_file_may_be_included,
                 what_is_elsewhere_is_not_even_looked_for,
                 a_link_that_leads_elsewhere_is_not_followed,
                 a_directory_with_special_characters_is_meant_as_it_is,
                 a_main_file_named_without_a_directory_is_in_this_one,
                 the_number_of_includes_has_an_end, the_size_of_all_copies_has_an_end,
                 a_path_in_one_of_its_files_is_mentioned, is_read_as_it_was_saved,
                 quick_mode_is_read_as_it_was_saved,
                 a_name_that_is_not_utf8_does_not_prevent_saving,
                 what_was_not_saved_is_refused_and_nothing_closed,
                 without_memory_nothing_half_made_is_left, the_last_descriptors_are_not_taken)
