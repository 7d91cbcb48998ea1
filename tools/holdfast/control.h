/* SPDX-License-Identifier: BSD-3-Clause */
/* The socket of a serving process: one question, one answer. Knows no driver.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "args.h"

#define CONTROL_PATH_BYTES 108

/* Where the process of that name listens: under @dir, or the runtime
 * directory. An exit code; a failure has been explained. */
int control_path(const struct args *args, const char *dir, const char *name,
		 char path[CONTROL_PATH_BYTES]);

/* Makes the directory that @path is in, if need be. */
int control_make_dir(const struct args *args, const char *path);

/**
 * control_listen() - be the one who listens
 * @args: for messages
 * @path: of the socket; replaces that of a predecessor in one step
 * @replace: false refuses where somebody listens
 *
 * Return: the socket, or -1 with the failure explained.
 */
int control_listen(const struct args *args, const char *path, bool replace);

/* Is somebody there? */
bool control_is_live(const char *path);

/* The process that listens there, or 0. */
int control_owner(const char *path);

/* Bounds what connecting and sending on a socket wait. */
void control_limit(int fd);

/* Answers: the first character of the first message is '+' or '-'. The text
 * may be long. Best effort: who asked may be gone, and who does not read is
 * given up within seconds. */
void control_answer(int client, bool good, const char *text);

/**
 * control_ask() - ask, and hear the answer
 * @args: for messages
 * @path: where
 * @question: one word
 * @answer: receives the text, for free()
 *
 * Return: an exit code; a failure has been explained.
 */
int control_ask(const struct args *args, const char *path, const char *question,
		char **answer);
