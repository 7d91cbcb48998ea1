/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/control.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/checked.h"
#include "base/error.h"
#include "emu/vfio_user_server.h"

struct call {
	struct hf_emu *emu;
	struct hf_emu_server *server;
	struct json_object *in;
	struct json_object *out;
	bool *quit;
};

/* ----------------------------------------------------------------- arguments
 */

static int get_number(struct call *call, const char *name, bool required,
		      uint64_t max, uint64_t *value, struct hf_error *err)
{
	struct json_object *field;

	if (!json_object_object_get_ex(call->in, name, &field)) {
		return required ? hf_error_set(err, -EINVAL,
					       "control: \"%s\" is missing",
					       name)
				: 0;
	}
	if (!json_object_is_type(field, json_type_int)) {
		return hf_error_set(err, -EINVAL,
				    "control: \"%s\" is not a whole number",
				    name);
	}

	errno = 0;
	int64_t given = json_object_get_int64(field);
	uint64_t number = json_object_get_uint64(field);
	if (given < 0 || errno != 0 || number > max) {
		return hf_error_set(err, -EINVAL,
				    "control: \"%s\" is not within 0 to %llu",
				    name, (unsigned long long)max);
	}
	*value = number;
	return 0;
}

static int get_string(struct call *call, const char *name, bool required,
		      const char **value, struct hf_error *err)
{
	struct json_object *field;

	if (!json_object_object_get_ex(call->in, name, &field)) {
		return required ? hf_error_set(err, -EINVAL,
					       "control: \"%s\" is missing",
					       name)
				: 0;
	}
	if (!json_object_is_type(field, json_type_string)) {
		return hf_error_set(err, -EINVAL,
				    "control: \"%s\" is not a string", name);
	}
	*value = json_object_get_string(field);
	return 0;
}

static int get_flag(struct call *call, const char *name, bool *value,
		    struct hf_error *err)
{
	struct json_object *field;

	if (!json_object_object_get_ex(call->in, name, &field)) {
		return 0;
	}
	if (!json_object_is_type(field, json_type_boolean)) {
		return hf_error_set(err, -EINVAL,
				    "control: \"%s\" is neither true nor false",
				    name);
	}
	*value = json_object_get_boolean(field);
	return 0;
}

static int get_nsid(struct call *call, uint32_t *nsid, struct hf_error *err)
{
	uint64_t number = 0;
	int result = get_number(call, "nsid", true, UINT32_MAX, &number, err);

	*nsid = (uint32_t)number;
	return result;
}

static int get_media(struct call *call,
		     struct hf_emu_namespace_options *options,
		     struct hf_error *err)
{
	const char *media = NULL;

	int result = get_string(call, "path", false, &options->path, err);
	if (result == 0) {
		result = get_string(call, "media", false, &media, err);
	}
	if (result != 0) {
		return result;
	}
	if (options->path != NULL) {
		options->media = HF_EMU_MEDIA_FILE;
		options->size_bytes = 0;
	}
	if (media == NULL) {
		return 0;
	}
	if (strcmp(media, "memory") == 0) {
		options->media = HF_EMU_MEDIA_MEMORY;
	} else if (strcmp(media, "null") == 0) {
		options->media = HF_EMU_MEDIA_NULL;
	} else if (strcmp(media, "file") == 0 && options->path != NULL) {
		options->media = HF_EMU_MEDIA_FILE;
	} else {
		return hf_error_set(err, -EINVAL,
				    "control: \"media\" is memory, null, or "
				    "file with a \"path\"");
	}
	return 0;
}

/* What add-namespace and swap say about a namespace. */
static int get_namespace(struct call *call,
			 struct hf_emu_namespace_options *options,
			 struct hf_error *err)
{
	hf_emu_namespace_options_init(options);
	int result = get_media(call, options, err);
	if (result != 0) {
		return result;
	}

	uint64_t nsid = 0;
	uint64_t size = options->size_bytes;
	uint64_t lba = options->lba_bytes;
	uint64_t noiob = 0;
	uint64_t eui64 = 0;
	const struct {
		const char *name;
		uint64_t max;
		uint64_t *value;
	} numbers[] = {
		{"nsid", UINT32_MAX, &nsid},   {"size", INT64_MAX, &size},
		{"lba", UINT32_MAX, &lba},     {"noiob", UINT16_MAX, &noiob},
		{"eui64", UINT64_MAX, &eui64},
	};
	for (size_t i = 0; i < HF_ARRAY_LEN(numbers) && result == 0; i++) {
		result = get_number(call, numbers[i].name, false,
				    numbers[i].max, numbers[i].value, err);
	}
	if (result == 0) {
		result = get_flag(call, "create", &options->create, err);
	}
	if (result == 0) {
		result = get_flag(call, "read_only", &options->read_only, err);
	}
	if (result == 0) {
		result = get_flag(call, "reservations", &options->reservations,
				  err);
	}
	options->nsid = (uint32_t)nsid;
	options->size_bytes = size;
	options->lba_bytes = (uint32_t)lba;
	options->noiob_blocks = (uint16_t)noiob;
	options->eui64 = eui64;
	return result;
}

/* ------------------------------------------------------------------ commands
 */

static void put_number(struct call *call, const char *name, uint64_t value)
{
	json_object_object_add(call->out, name, json_object_new_uint64(value));
}

static int do_add(struct call *call, struct hf_error *err)
{
	struct hf_emu_namespace_options options;
	uint32_t nsid = 0;

	int result = get_namespace(call, &options, err);
	if (result == 0) {
		result = hf_emu_namespace_add(call->emu, &options, &nsid, err);
	}
	if (result == 0) {
		put_number(call, "nsid", nsid);
	}
	return result;
}

static int do_remove(struct call *call, struct hf_error *err)
{
	uint32_t nsid;
	int result = get_nsid(call, &nsid, err);

	return result != 0 ? result
			   : hf_emu_namespace_remove(call->emu, nsid, err);
}

static int do_resize(struct call *call, struct hf_error *err)
{
	uint64_t size = 0;
	uint32_t nsid;
	int result = get_nsid(call, &nsid, err);

	if (result == 0) {
		result = get_number(call, "size", true, INT64_MAX, &size, err);
	}
	return result != 0
		       ? result
		       : hf_emu_namespace_resize(call->emu, nsid, size, err);
}

static int do_swap(struct call *call, struct hf_error *err)
{
	struct hf_emu_namespace_options options;
	uint32_t nsid;
	int result = get_nsid(call, &nsid, err);

	if (result == 0) {
		result = get_namespace(call, &options, err);
	}
	return result != 0
		       ? result
		       : hf_emu_namespace_swap(call->emu, nsid, &options, err);
}

static int do_fault_add(struct call *call, struct hf_error *err)
{
	const char *rule = NULL;
	uint32_t id = 0;
	int result = get_string(call, "rule", true, &rule, err);

	if (result == 0) {
		result = hf_emu_fault_add(call->emu, rule, &id, err);
	}
	if (result == 0) {
		put_number(call, "id", id);
	}
	return result;
}

static int do_fault_remove(struct call *call, struct hf_error *err)
{
	uint64_t id = 0;
	int result = get_number(call, "id", true, UINT32_MAX, &id, err);

	if (result == 0 && hf_emu_fault_remove(call->emu, (uint32_t)id) != 0) {
		result = hf_error_set(err, -ENOENT,
				      "control: there is no fault rule %llu",
				      (unsigned long long)id);
	}
	return result;
}

static int do_fault_clear(struct call *call, struct hf_error *err)
{
	(void)err;
	hf_emu_fault_clear(call->emu);
	return 0;
}

static int do_fault_release(struct call *call, struct hf_error *err)
{
	uint64_t id = 0;
	int result = get_number(call, "id", false, UINT32_MAX, &id, err);

	if (result == 0) {
		put_number(call, "released",
			   hf_emu_fault_release(call->emu, (uint32_t)id));
	}
	return result;
}

static int do_power_fail(struct call *call, struct hf_error *err)
{
	(void)err;
	hf_emu_power_fail(call->emu);
	return 0;
}

static int do_reset(struct call *call, struct hf_error *err)
{
	(void)err;
	hf_emu_reset(call->emu);
	return 0;
}

static int do_flush(struct call *call, struct hf_error *err)
{
	int result = hf_emu_flush(call->emu);

	return result == 0 ? 0
			   : hf_error_set(err, result, "control: flush: %s",
					  strerror(-result));
}

static int do_event(struct call *call, struct hf_error *err)
{
	uint64_t type = 0;
	uint64_t info = 0;
	uint64_t log = 0;
	int result = get_number(call, "type", true, 7, &type, err);

	if (result == 0) {
		result = get_number(call, "info", true, UINT8_MAX, &info, err);
	}
	if (result == 0) {
		result = get_number(call, "log", true, UINT8_MAX, &log, err);
	}
	if (result == 0) {
		hf_emu_event(call->emu, (uint8_t)type, (uint8_t)info,
			     (uint8_t)log);
	}
	return result;
}

static int do_temperature(struct call *call, struct hf_error *err)
{
	uint64_t kelvin = 0;
	int result = get_number(call, "kelvin", true, UINT16_MAX, &kelvin, err);

	if (result == 0) {
		hf_emu_temperature_set(call->emu, (uint16_t)kelvin);
	}
	return result;
}

static int need_server(struct call *call, struct hf_error *err)
{
	return call->server != NULL
		       ? 0
		       : hf_error_set(err, -ENOTSUP,
				      "control: this controller is not behind "
				      "a server");
}

static int do_disconnect(struct call *call, struct hf_error *err)
{
	int result = need_server(call, err);

	if (result == 0 && hf_emu_serve_disconnect(call->server) != 0) {
		result = hf_error_set(err, -ENOTCONN,
				      "control: no client is connected");
	}
	return result;
}

static int do_request_removal(struct call *call, struct hf_error *err)
{
	int result = need_server(call, err);

	if (result == 0 && hf_emu_serve_request_removal(call->server) != 0) {
		result = hf_error_set(err, -ENOTCONN,
				      "control: no client listens for the "
				      "request interrupt");
	}
	return result;
}

static struct json_object *list_namespaces(struct hf_emu *emu)
{
	static const char *const media[] = {"memory", "file", "null"};
	uint32_t count = hf_emu_namespace_list(emu, NULL, 0);
	struct hf_emu_namespace_info *infos =
		calloc((size_t)count + 1, sizeof(*infos));
	struct json_object *array = json_object_new_array();

	if (infos == NULL || array == NULL) {
		free(infos);
		json_object_put(array);
		return NULL;
	}
	/* There may be more by now: those are left out. */
	count = HF_MIN(count, hf_emu_namespace_list(emu, infos, count));
	for (uint32_t i = 0; i < count; i++) {
		struct json_object *ns = json_object_new_object();

		json_object_object_add(ns, "nsid",
				       json_object_new_uint64(infos[i].nsid));
		json_object_object_add(
			ns, "size",
			json_object_new_uint64(infos[i].blocks *
					       infos[i].lba_bytes));
		json_object_object_add(
			ns, "lba", json_object_new_uint64(infos[i].lba_bytes));
		json_object_object_add(
			ns, "media",
			json_object_new_string(media[infos[i].media]));
		json_object_array_add(array, ns);
	}
	free(infos);
	return array;
}

/* A string of JSON from the controller becomes part of the answer. */
static void put_json(struct call *call, const char *name, char *text)
{
	if (text != NULL) {
		json_object_object_add(call->out, name,
				       json_tokener_parse(text));
	}
	free(text);
}

static int do_status(struct call *call, struct hf_error *err)
{
	(void)err;
	json_object_object_add(call->out, "namespaces",
			       list_namespaces(call->emu));
	put_json(call, "faults", hf_emu_fault_list(call->emu));
	if (call->server != NULL) {
		json_object_object_add(call->out, "server",
				       hf_vfus_server_inspect(call->server));
	}
	put_json(call, "controller", hf_emu_inspect(call->emu));
	return 0;
}

static int do_quit(struct call *call, struct hf_error *err)
{
	(void)err;
	*call->quit = true;
	return 0;
}

static const struct {
	const char *name;
	int (*execute)(struct call *call, struct hf_error *err);
} commands[] = {
	{"add-namespace", do_add},
	{"remove-namespace", do_remove},
	{"resize", do_resize},
	{"swap", do_swap},
	{"fault-add", do_fault_add},
	{"fault-remove", do_fault_remove},
	{"fault-clear", do_fault_clear},
	{"fault-release", do_fault_release},
	{"power-fail", do_power_fail},
	{"reset", do_reset},
	{"flush", do_flush},
	{"event", do_event},
	{"temperature", do_temperature},
	{"disconnect", do_disconnect},
	{"request-removal", do_request_removal},
	{"status", do_status},
	{"quit", do_quit},
};

static int execute(struct call *call, struct hf_error *err)
{
	const char *name = NULL;
	int result;

	if (call->in == NULL ||
	    !json_object_is_type(call->in, json_type_object)) {
		return hf_error_set(err, -EINVAL,
				    "control: the line is not a JSON object");
	}
	result = get_string(call, "command", true, &name, err);
	if (result != 0 || name == NULL) {
		return result;
	}
	for (size_t i = 0; i < HF_ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			return commands[i].execute(call, err);
		}
	}
	return hf_error_set(err, -EINVAL, "control: there is no command \"%s\"",
			    name);
}

static struct json_object *parse(const char *line)
{
	struct json_tokener *tokener = json_tokener_new_ex(8);

	if (tokener == NULL) {
		return NULL;
	}
	/* The NUL is part of it: it ends a number that stands alone. */
	struct json_object *object =
		json_tokener_parse_ex(tokener, line, (int)strlen(line) + 1);
	json_tokener_free(tokener);
	return object;
}

char *hf_control_execute(struct hf_emu *emu, struct hf_emu_server *server,
			 const char *line, bool *quit)
{
	struct hf_error err = {0};
	struct call call = {.emu = emu,
			    .server = server,
			    .in = parse(line),
			    .out = json_object_new_object(),
			    .quit = quit};
	int result = execute(&call, &err);

	json_object_object_add(call.out, "ok",
			       json_object_new_boolean(result == 0));
	if (result != 0) {
		json_object_object_add(call.out, "error",
				       json_object_new_string(err.message));
		json_object_object_add(call.out, "code",
				       json_object_new_int(result));
	}
	const char *text = json_object_to_json_string_ext(
		call.out,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *answer = text == NULL ? NULL : strdup(text);
	json_object_put(call.in);
	json_object_put(call.out);
	return answer;
}
