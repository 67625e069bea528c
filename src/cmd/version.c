#include "cmd/version.h"

#include <ev.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <xxhash.h>
#include <yaml.h>

#ifdef HAVE_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

void version_print(FILE *to)
{
    fprintf(to, "weft %s\n", PACKAGE_VERSION);
}

static void print_xxhash(FILE *to)
{
    unsigned version = XXH_versionNumber(); /* 801: 0.8.1 */
    fprintf(to, "xxHash    %u.%u.%u\n", version / 10000, version / 100 % 100, version % 100);
}

static void print_jemalloc(FILE *to)
{
#ifdef HAVE_JEMALLOC
    const char *version = "unknown";
    size_t size = sizeof(version);
    mallctl("version", &version, &size, NULL, 0);
    fprintf(to, "jemalloc  %s\n", version);
#else
    fputs("jemalloc  none: the C library's malloc\n", to);
#endif
}

#ifdef __OPTIMIZE__
#define OPTIMIZED "yes"
#else
#define OPTIMIZED "no"
#endif

void version_print_build(FILE *to)
{
    version_print(to);
    fprintf(to, "built with %s: %s optimize=%s\n", __VERSION__, WEFT_BUILD_OPTIONS, OPTIMIZED);
    fprintf(to, "libev     %d.%d\n", ev_version_major(), ev_version_minor());
    fprintf(to, "libyaml   %s\n", yaml_get_version_string());
    fprintf(to, "jansson   %s\n", jansson_version_str());
    print_xxhash(to);
    print_jemalloc(to);
    fprintf(to, "libc      %s\n", gnu_get_libc_version());
}
