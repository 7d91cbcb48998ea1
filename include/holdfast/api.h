/* SPDX-License-Identifier: BSD-3-Clause */
/* The marks on a public declaration. Every function that a program may call
 * carries HF_API and stands in src/api/libholdfast.map; everything else is
 * hidden. "scripts/check-symbols --write" renews the map from the headers. */
#pragma once

/* Visible outside of the library. */
#define HF_API __attribute__((visibility("default")))

/* The compiler complains when such a return value is dropped. */
#define HF_MUST_CHECK __attribute__((warn_unused_result))
