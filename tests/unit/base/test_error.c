/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: an error's sentence is whole, bounded, and gains context in front.
 * Method: fill a struct hf_error and read it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void set_returns_the_code_it_was_given(void **state)
{
	struct hf_error err;

	(void)state;
	assert_int_equal(hf_error_set(&err, -EIO, "no %s", "luck"), -EIO);

	assert_int_equal(err.code, -EIO);
	assert_int_equal(err.qid, HF_ERROR_NONE);
	assert_string_equal(err.message, "no luck");
}

static void set_without_an_error_still_returns_the_code(void **state)
{
	(void)state;
	assert_int_equal(hf_error_set(NULL, -EIO, "unseen"), -EIO);
}

static void prefix_puts_context_in_front(void **state)
{
	struct hf_error err;

	(void)state;
	(void)hf_error_set(&err, -EIO, "read failed");
	hf_error_prefix(&err, "device %d", 7);

	assert_string_equal(err.message, "device 7: read failed");
}

static void prefix_keeps_a_long_message_terminated(void **state)
{
	struct hf_error err;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)hf_error_set(&err, -EIO, "%s", text);
	hf_error_prefix(&err, "%s", text);

	assert_int_equal(strnlen(err.message, sizeof(err.message)),
			 sizeof(err.message) - 1);
}

static void status_text_names_type_code_and_dnr(void **state)
{
	char text[128];

	(void)state;
	hf_status_text(0x4281, text, sizeof(text));

	assert_non_null(strstr(text, "Media and Data Integrity"));
	assert_non_null(strstr(text, "281h"));
	assert_non_null(strstr(text, "do not retry"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_returns_the_code_it_was_given),
		cmocka_unit_test(set_without_an_error_still_returns_the_code),
		cmocka_unit_test(prefix_puts_context_in_front),
		cmocka_unit_test(prefix_keeps_a_long_message_terminated),
		cmocka_unit_test(status_text_names_type_code_and_dnr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
