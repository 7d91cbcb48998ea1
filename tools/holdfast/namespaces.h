/* SPDX-License-Identifier: BSD-3-Clause */
/* A row for each namespace of an open controller. */
#pragma once

#include <json-c/json.h>

struct conn;

/**
 * namespaces_list() - describe every active namespace
 * @conn: open, none of its namespaces opened
 * @rows: array to add to
 *
 * Return: an exit code; what could not be described has been named.
 */
int namespaces_list(struct conn *conn, struct json_object *rows);
