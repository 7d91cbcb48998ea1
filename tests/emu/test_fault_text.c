/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a rule means what its text says, its text means the same when read
 * again, and each mistake gets a sentence that names the word.
 * Method: tables of texts; random bytes and random cuts of good texts.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nvme/types.h>

#include "base/checked.h"
#include "holdfast/emu_fault.h"

/* Every word at least once. */
static const char *const good[] = {
	"io:drop",
	"io-read,nth=3:status=media/281h",
	"io-read,nth=3:status=media/81h",
	"io-write,lba=100-199,nsid=2:status=generic/6h+dnr",
	"io-7fh:status=0x4002",
	"io-0x80:status-after=path/371h+more+crd=2",
	"io-flush,queue=2,every=3,after=10,count=5:delay=5ms",
	"io,prob=0.25,seed=7:no-post",
	"io,prob=1:repeat",
	"io,lba=7:repeat=3,reorder",
	"io-dsm,cdw10=3/0xff,cdw11=4,cdw15=1/1:hold",
	"admin-identify,cns=1:patch=0/8680,patch=4/0102030405060708",
	"admin-set-features,fid=7:grant=2",
	"admin-set-features,fid=0xb:grant=4/2,status-after=generic/2h",
	"admin-get-log-page,lid=4:fill=255",
	"admin-create-iosq,qid=2:drop",
	"admin-create-iocq:status=specific/101h",
	"admin:sqe=cid/7,sqe=nsid/5,sqe=prp1/0x123456789a",
	"admin:sqe=dw10/0x10/0xf0",
	"aer:late-post=250us",
	"io-read:wrong-cid,wrong-sqid,bad-sqhd,stale-phase,phantom",
	"io-read:wrong-cid=1,wrong-sqid=2,bad-sqhd=3,phantom=4",
	"io-read:torn=1s,corrupt=511,short=512",
	"io-read:corrupt,late-data=0ns",
	"io-write:delay=100us,dma-after-abort=2ms",
	"io-write:spurious-irq=3,cfs,gone,event=smart/1",
	"io-write:event=vendor/0x10/0xc1,result=17,spurious-irq",
	"reg:gone",
	"reg-csts:all-ones",
	"reg-csts:rdy-stuck=0",
	"reg-csts,read:value=2/2",
	"reg-cap:mqes=0",
	"reg-cc,write,value=1/1:delay=10s",
	"reg-0x24,write:ignore,cfs",
	"irq:lose",
	"irq,vector=1,nth=2:late=3ms",
	"irq:wrong-vector=5",
	"irq:spurious=2",
	"irq:spurious,note",
	"now:event=error",
	"now,count=100:event=notice",
	"now:cfs",
	"now:gone",
};

static void good_text_means_the_same_when_read_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < HF_ARRAY_LEN(good); i++) {
		struct hf_emu_fault first;
		struct hf_emu_fault second;
		struct hf_error err;
		char text[HF_EMU_FAULT_TEXT_BYTES];

		if (hf_emu_fault_parse(&first, good[i], &err) != 0) {
			fail_msg("%s: %s", good[i], err.message);
		}
		hf_emu_fault_format(&first, text, sizeof(text));
		if (hf_emu_fault_parse(&second, text, &err) != 0) {
			fail_msg("%s -> %s: %s", good[i], text, err.message);
		}
		if (memcmp(&first, &second, sizeof(first)) != 0) {
			fail_msg("%s -> %s", good[i], text);
		}
	}
}

static void fields_are_what_the_text_says(void **state)
{
	struct hf_emu_fault f;

	(void)state;
	assert_int_equal(
		hf_emu_fault_parse(&f,
				   "io-write,lba=10-0x1f,nth=3,fid=7:"
				   "status=media/280h+dnr+crd=1,delay=5ms",
				   NULL),
		0);
	assert_int_equal(f.site, HF_EMU_FAULT_IO);
	assert_int_equal(f.opcode, nvme_cmd_write);
	assert_int_equal(f.lba_first, 10);
	assert_int_equal(f.lba_last, 31);
	assert_int_equal(f.nth, 3);
	assert_int_equal(f.cdw[0], 7);
	assert_int_equal(f.cdw_mask[0], 0xff);
	assert_int_equal(f.status, 0x280 | 0x4000 | 0x800);
	assert_int_equal(f.delay_ns, 5000000);
	assert_int_equal(f.actions,
			 HF_EMU_FAULT_DO_STATUS | HF_EMU_FAULT_DO_DELAY);

	assert_int_equal(hf_emu_fault_parse(&f, "admin:grant=4/2", NULL), 0);
	assert_int_equal(f.result, 1 << 16 | 3);
}

/* What is wrong, and a word that the sentence has to have. */
static const struct {
	const char *text;
	const char *says;
} bad[] = {
	{"", "says not what happens"},
	{"io-read", "PLACE[,CONDITION...]:ACTION"},
	{"io-read:", "says not what happens"},
	{":drop", "\"\" is no place"},
	{"disk:drop", "admin-COMMAND"},
	{"io-raed:drop",
	 "\"raed\" is no command; accepted: flush, write, read"},
	{"io-256:drop", "is no command"},
	{"admin-read:drop", "create-iosq"},
	{"reg-foo:gone", "\"foo\" is no register; accepted: cap, vs"},
	{"irq-1:lose", "is no place"},
	{"io-read,nht=3:drop",
	 "\"nht\" is no condition of a command; accepted: "
	 "nsid, lba"},
	{"io-read,vector=3:drop", "\"vector\" is no condition of a command"},
	{"irq,lba=3:lose", "accepted: vector, nth"},
	{"io-read,:drop", "\"\" is no condition"},
	{"io-read,nth:drop", "nth takes a number"},
	{"io-read,nth=:drop", "nth takes a number"},
	{"io-read,nth=-1:drop", "nth takes a number"},
	{"io-read,nth=0:drop", "count from 1"},
	{"io-read,every=0:drop", "count from 1"},
	{"io-read,nth=18446744073709551616:drop", "nth takes"},
	{"io-read,nsid=0x100000000:drop", "nsid takes"},
	{"io-read,lba=9-3:drop", "lba takes FIRST or FIRST-LAST"},
	{"io-read,prob=2:drop", "prob takes a chance"},
	{"io-read,prob=0.1234567:drop", "prob takes a chance"},
	{"io-read,cdw10=2/1:drop", "cdw10 takes VALUE or VALUE/MASK"},
	{"reg-cc,value=1/0:ignore", "value takes"},
	{"io-read:explode", "\"explode\" is no action of a command; accepted: "
			    "sqe, status"},
	{"io-read:lose", "\"lose\" is no action of a command"},
	{"irq:drop", "accepted: lose, late, wrong-vector, spurious"},
	{"now:drop", "accepted: cfs, gone, event"},
	{"io-read:drop,", "\"\" is no action"},
	{"io-read:drop=1", "drop takes nothing"},
	{"io-read:delay", "delay takes a time such as 5ms"},
	{"io-read:delay=5", "delay takes a time"},
	{"io-read:delay=5min", "delay takes a time"},
	{"io-read:delay=99999999999999999999s", "delay takes a time"},
	{"io-read:delay=18446744073709551615s", "delay takes a time"},
	{"io-read:status", "status takes generic/CODE"},
	{"io-read:status=medium/281h", "status takes"},
	{"io-read:status=media/181h", "status takes"},
	{"io-read:status=8000h", "status takes"},
	{"io-read:status=generic/2h+dnt", "status takes"},
	{"io-read:status=generic/2h+crd=4", "status takes"},
	{"io-read:patch=0/123", "patch takes OFFSET/BYTES"},
	{"io-read:patch=0/0g", "patch takes"},
	{"io-read:patch=0/112233445566778899", "patch takes"},
	{"io-read:sqe=cid/65536", "sqe takes FIELD/VALUE"},
	{"io-read:sqe=dw16/1/1", "sqe takes"},
	{"io-read:sqe=prp1/1,sqe=prp2/1,sqe=cid/1", "sqe takes"},
	{"io-read:event=flood", "event takes TYPE"},
	{"io-read:event=8", "event takes"},
	{"io-read:event=smart/256", "event takes"},
	{"reg-cc:mqes=1", "stands with reg-cap"},
	{"reg-cc:rdy-stuck=1", "stands with reg-csts"},
	{"reg-csts:rdy-stuck=2", "rdy-stuck takes 0 or 1"},
	{"reg-csts:all-ones=1", "all-ones takes nothing"},
	{"admin:grant=0", "grant takes QUEUES"},
};

static void each_mistake_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
		struct hf_emu_fault f;
		struct hf_error err;

		if (hf_emu_fault_parse(&f, bad[i].text, &err) != -EINVAL) {
			fail_msg("accepted: %s", bad[i].text);
		}
		if (strstr(err.message, bad[i].says) == NULL) {
			fail_msg("%s: %s", bad[i].text, err.message);
		}
		assert_int_equal(hf_emu_fault_parse(&f, bad[i].text, NULL),
				 -EINVAL);
	}
}

static void too_long_a_rule_is_refused(void **state)
{
	struct hf_emu_fault f;
	struct hf_error err;
	char text[HF_EMU_FAULT_TEXT_BYTES + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(hf_emu_fault_parse(&f, text, &err), -EINVAL);
	assert_non_null(strstr(err.message, "longer"));
}

static void what_does_not_fit_is_cut_off(void **state)
{
	struct hf_emu_fault f;
	char text[8];

	(void)state;
	assert_int_equal(hf_emu_fault_parse(&f, "io-read,nth=3:drop", NULL), 0);
	assert_string_equal(hf_emu_fault_format(&f, text, sizeof(text)),
			    "io-read");
	assert_string_equal(hf_emu_fault_format(&f, text, 1), "");
}

/* Whatever it is made of, a text is refused or means the same again. */
static void random_text_is_refused_or_round_trips(void **state)
{
	static const char alphabet[] = "io-read,lbanth=:0123456789xh/+:,=-csqe";

	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		struct hf_emu_fault first;
		struct hf_emu_fault second;
		char text[HF_EMU_FAULT_TEXT_BYTES];
		char again[HF_EMU_FAULT_TEXT_BYTES];

		strcpy(text, good[(size_t)rand() % HF_ARRAY_LEN(good)]);
		for (int n = rand() % 3; n >= 0; n--) {
			size_t at = (size_t)rand() % strlen(text);

			text[at] = alphabet[(size_t)rand() %
					    (sizeof(alphabet) - 1)];
		}
		if (hf_emu_fault_parse(&first, text, NULL) != 0) {
			continue;
		}
		hf_emu_fault_format(&first, again, sizeof(again));
		assert_int_equal(hf_emu_fault_parse(&second, again, NULL), 0);
		if (memcmp(&first, &second, sizeof(first)) != 0) {
			fail_msg("%s -> %s", text, again);
		}
	}
}

/* A line is an example of a rule when it begins with a place. */
static bool is_example(const char *line)
{
	return strncmp(line, ".Dl ", 4) == 0 && strchr(line, ':') != NULL;
}

static void each_example_of_the_manual_is_understood(void **state)
{
	FILE *page = fopen(SOURCE_ROOT "/man/holdfast-faults.7", "re");
	char line[512];
	int found = 0;

	(void)state;
	assert_non_null(page);
	while (fgets(line, sizeof(line), page) != NULL) {
		struct hf_emu_fault f;
		struct hf_error err;

		line[strcspn(line, "\n")] = '\0';
		if (!is_example(line)) {
			continue;
		}
		found++;
		if (hf_emu_fault_parse(&f, line + 4, &err) != 0) {
			fail_msg("%s: %s", line, err.message);
		}
	}
	fclose(page);
	assert_true(found > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_text_means_the_same_when_read_again),
		cmocka_unit_test(fields_are_what_the_text_says),
		cmocka_unit_test(each_mistake_is_named),
		cmocka_unit_test(too_long_a_rule_is_refused),
		cmocka_unit_test(what_does_not_fit_is_cut_off),
		cmocka_unit_test(each_example_of_the_manual_is_understood),
		cmocka_unit_test(random_text_is_refused_or_round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
