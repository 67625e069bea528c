#include "worker/commands.h"

#include "unit.h"

START_TEST(every_command_has_somebody_who_does_it)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        ck_assert_msg(command_handler((enum command_id)i) != NULL, "%s", commands[i].name);
}
END_TEST

UNIT_MAIN("commands", every_command_has_somebody_who_does_it)
