/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: what a fuzzer has found once is tried in every run of the tests.
 * Method: hand each file of a directory to the fuzzer's function, and every
 * beginning of each file, where there are not too many. A second argument says
 * how many of these, for a fuzzer whose inputs take their time.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

enum {
	MAX_BYTES = 1 << 20,
	MAX_BEGINNINGS = 256,
};

/* A copy of the exact size, so that a sanitizer sees a read behind it. */
static void try_bytes(const uint8_t *data, size_t len_bytes)
{
	uint8_t *copy = malloc(len_bytes > 0 ? len_bytes : 1);

	if (copy == NULL) {
		perror("malloc");
		exit(1);
	}
	memcpy(copy, data, len_bytes);
	LLVMFuzzerTestOneInput(copy, len_bytes);
	free(copy);
}

static int try_file(const char *directory, const char *name, size_t beginnings)
{
	static uint8_t data[MAX_BYTES];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "rbe");

	if (file == NULL) {
		perror(path);
		return -1;
	}
	size_t len_bytes = fread(data, 1, sizeof(data), file);

	fclose(file);
	try_bytes(data, len_bytes);

	if (beginnings == 0) {
		return 0;
	}
	size_t step = len_bytes / beginnings + 1;

	for (size_t part = 0; part < len_bytes; part += step) {
		try_bytes(data, part);
	}
	return 0;
}

int main(int argc, char **argv)
{
	size_t beginnings = MAX_BEGINNINGS;
	int tried = 0;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: %s CORPUS_DIRECTORY [BEGINNINGS]\n",
			argv[0]);
		return 2;
	}
	if (argc == 3) {
		beginnings = strtoul(argv[2], NULL, 10);
	}
	DIR *directory = opendir(argv[1]);

	if (directory == NULL) {
		perror(argv[1]);
		return 1;
	}
	for (struct dirent *entry = readdir(directory); entry != NULL;
	     entry = readdir(directory)) {
		if (entry->d_name[0] == '.') {
			continue;
		}
		if (try_file(argv[1], entry->d_name, beginnings) != 0) {
			return 1;
		}
		tried++;
	}
	closedir(directory);
	printf("%d inputs tried\n", tried);
	return tried > 0 ? 0 : 1;
}
