/* `weft -t --diff`: what a reload of a file would change in the weft that runs. */
#ifndef WEFT_CMD_PREVIEW_H
#define WEFT_CMD_PREVIEW_H

#define PREVIEW_NO_DAEMON 3

/**
 * Ask the weft that listens on the control socket of the configuration in `path`, and print what it
 * says.
 *
 * Returns the exit code: 0; 1 where the file has faults or weft does not answer, which was said;
 * PREVIEW_NO_DAEMON where none is there.
 */
int preview_print(const char *path);

#endif
