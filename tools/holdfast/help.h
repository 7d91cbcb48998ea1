/* SPDX-License-Identifier: BSD-3-Clause */
/* Help over all verbs, made from their tables. */
#pragma once

/* What "holdfast --help" shows. */
void help_overview(void);

/* "VERB" and "VERB --OPTION VALUE", one a line. */
void help_table(void);

/* The completion file for bash. */
void help_completion(void);

/* The manual page's sections on options and verbs. */
void help_man(void);
