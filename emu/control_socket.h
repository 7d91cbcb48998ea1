/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: lines and their answers. Knows no command. The calls are
 * in holdfast/emu_serve.h. */
#pragma once

#include "holdfast/emu_serve.h"
