/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupted.h"

#include <signal.h>
#include <stddef.h>

/* So many signals mean that the user will not wait for an orderly end. A
 * single wish may come twice: to the process, and to its group. */
#define PATIENCE 3

static volatile sig_atomic_t came;

static void note(int number)
{
	came++;
	if (came >= PATIENCE) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

void interrupted_catch(void)
{
	/* Without SA_RESTART, so that sleeping calls return. */
	struct sigaction action = {.sa_handler = note};

	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void)
{
	return came != 0;
}
