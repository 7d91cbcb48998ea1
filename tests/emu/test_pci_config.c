/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: firmware and kernels find in configuration space what the PCI
 * specifications promise them, whatever they write there.
 * Method: the accesses that they make, in the widths that they use.
 */
#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "base/bytes.h"
#include "emu/pci_config.h"

static const struct hf_pci_identity identity = {
	.vid = 0x1234,
	.did = 0x5678,
	.ssvid = 0x9abc,
	.ssid = 0xdef0,
	.bar0_bytes = 0x4000,
	.msix_bar_bytes = 0x2000,
	.vectors = 65,
	.pba_offset = 0x1000,
};

static int setup(void **state)
{
	struct hf_pci_config *config = malloc(sizeof(*config));

	hf_pci_config_init(config, &identity);
	*state = config;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static uint32_t get(struct hf_pci_config *config, uint32_t at, uint32_t width)
{
	uint8_t bytes[4] = {0};

	hf_pci_config_read(config, at, width, false, bytes);
	return hf_get_le32(bytes);
}

static unsigned int put(struct hf_pci_config *config, uint32_t at,
			uint32_t width, uint32_t value)
{
	uint8_t bytes[4];

	hf_put_le32(bytes, value);
	return hf_pci_config_write(config, at, width, bytes);
}

static void it_is_an_nvme_controller(void **state)
{
	struct hf_pci_config *config = *state;

	assert_int_equal(get(config, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(get(config, PCI_CLASS_REVISION, 4) >> 8, 0x010802);
	assert_int_equal(get(config, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(get(config, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	assert_int_equal(get(config, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(get(config, 0x100, 4), 0);
}

static void bars_tell_their_size(void **state)
{
	static const uint32_t sized[6] = {0xffffc004, 0xffffffff, 0,
					  0,          0xffffe000, 0};
	struct hf_pci_config *config = *state;

	for (uint32_t i = 0; i < 6; i++) {
		put(config, PCI_BASE_ADDRESS_0 + 4 * i, 4, 0xffffffff);
	}

	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(get(config, PCI_BASE_ADDRESS_0 + 4 * i, 4),
				 sized[i]);
	}
	put(config, PCI_ROM_ADDRESS, 4, 0xfffff800);
	assert_int_equal(get(config, PCI_ROM_ADDRESS, 4), 0);
}

static void an_address_is_kept_whatever_the_width(void **state)
{
	struct hf_pci_config *config = *state;

	put(config, PCI_BASE_ADDRESS_0, 4, 0xfebf4000);
	put(config, PCI_BASE_ADDRESS_1, 4, 0x12);
	put(config, PCI_BASE_ADDRESS_4 + 2, 2, 0xfec1);

	assert_int_equal(get(config, PCI_BASE_ADDRESS_0, 4), 0xfebf4004);
	assert_int_equal(get(config, PCI_BASE_ADDRESS_1, 4), 0x12);
	assert_int_equal(get(config, PCI_BASE_ADDRESS_4, 4), 0xfec10000);
}

static void capabilities_form_a_list(void **state)
{
	struct hf_pci_config *config = *state;
	uint32_t at = get(config, PCI_CAPABILITY_LIST, 1);
	uint32_t found = 0;

	assert_true(get(config, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	for (uint32_t i = 0; at != 0; i++) {
		uint32_t id = get(config, at, 1);

		assert_true(i < 16 && at >= 0x40 && (at & 3) == 0);
		found |= id == PCI_CAP_ID_PM     ? 1u
			 : id == PCI_CAP_ID_MSIX ? 2u
			 : id == PCI_CAP_ID_EXP  ? 4u
						 : 8u;
		at = get(config, at + 1, 1);
	}
	assert_int_equal(found, 7);
}

static void msix_tells_its_table(void **state)
{
	struct hf_pci_config *config = *state;

	assert_int_equal(get(config, HF_PCI_CAP_MSIX + PCI_MSIX_FLAGS, 2), 64);
	assert_int_equal(get(config, HF_PCI_CAP_MSIX + PCI_MSIX_TABLE, 4), 4);
	assert_int_equal(get(config, HF_PCI_CAP_MSIX + PCI_MSIX_PBA, 4),
			 0x1004);
}

static void interrupt_bits_take_effect(void **state)
{
	struct hf_pci_config *config = *state;
	uint32_t flags = HF_PCI_CAP_MSIX + PCI_MSIX_FLAGS;

	assert_int_equal(put(config, PCI_COMMAND, 2, 0x0406),
			 HF_PCI_IRQ_CHANGED);
	assert_true(hf_pci_intx_disabled(config));
	assert_int_equal(put(config, PCI_COMMAND, 2, 0x0402), 0);
	assert_int_equal(put(config, flags, 2, 0xc000), HF_PCI_IRQ_CHANGED);
	assert_true(hf_pci_msix_enabled(config));
	assert_true(hf_pci_msix_masked(config));
	/* The upper byte alone, as some write it. */
	assert_int_equal(put(config, flags + 1, 1, 0x80), HF_PCI_IRQ_CHANGED);
	assert_false(hf_pci_msix_masked(config));
	assert_int_equal(get(config, flags, 2), 0x8040);
}

static void what_is_constant_stays(void **state)
{
	struct hf_pci_config *config = *state;
	uint8_t ones[256];
	uint8_t zeroes[256] = {0};

	memset(ones, 0xff, sizeof(ones));
	hf_pci_config_write(config, 0, sizeof(ones), ones);
	hf_pci_config_write(config, 0, sizeof(zeroes), zeroes);

	it_is_an_nvme_controller(state);
	capabilities_form_a_list(state);
	assert_int_equal(get(config, PCI_COMMAND, 2), 0);
}

static void function_level_reset_is_asked_for(void **state)
{
	struct hf_pci_config *config = *state;
	uint32_t at = HF_PCI_CAP_EXP + PCI_EXP_DEVCTL;

	assert_true(get(config, HF_PCI_CAP_EXP + PCI_EXP_DEVCAP, 4) &
		    PCI_EXP_DEVCAP_FLR);
	assert_int_equal(put(config, at, 2, PCI_EXP_DEVCTL_BCR_FLR),
			 HF_PCI_FLR);
	assert_int_equal(get(config, at, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
}

static void reset_undoes_what_was_written(void **state)
{
	struct hf_pci_config *config = *state;

	put(config, PCI_BASE_ADDRESS_0, 4, 0xfebf4000);
	put(config, PCI_COMMAND, 2, 0x0406);
	hf_pci_config_reset(config);

	assert_int_equal(get(config, PCI_BASE_ADDRESS_0, 4), 4);
	assert_int_equal(get(config, PCI_COMMAND, 2), 0);
}

static void status_shows_the_pin(void **state)
{
	struct hf_pci_config *config = *state;
	uint8_t bytes[4];

	for (uint32_t at = PCI_COMMAND; at <= PCI_STATUS; at += 2) {
		hf_pci_config_read(config, at, 4, true, bytes);
		assert_true(bytes[PCI_STATUS - at] & PCI_STATUS_INTERRUPT);
	}
	hf_pci_config_read(config, PCI_STATUS + 1, 1, true, bytes);
	assert_int_equal(bytes[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_an_nvme_controller, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bars_tell_their_size, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			an_address_is_kept_whatever_the_width, setup, teardown),
		cmocka_unit_test_setup_teardown(capabilities_form_a_list, setup,
						teardown),
		cmocka_unit_test_setup_teardown(msix_tells_its_table, setup,
						teardown),
		cmocka_unit_test_setup_teardown(interrupt_bits_take_effect,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_constant_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			function_level_reset_is_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_undoes_what_was_written,
						setup, teardown),
		cmocka_unit_test_setup_teardown(status_shows_the_pin, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
