/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupted.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t came;

static void note(int number)
{
	(void)number;
	came = 1;
}

void interrupted_catch(void)
{
	/* Without SA_RESTART, so that sleeping calls return. */
	struct sigaction action = {.sa_handler = note,
				   .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
	return came != 0;
}
