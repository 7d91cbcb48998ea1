/* SPDX-License-Identifier: BSD-3-Clause */
/* All of holdfast's public interface. */
#pragma once

#include "holdfast/device.h"
#include "holdfast/driver.h"
#include "holdfast/emu.h"
#include "holdfast/emu_fault.h"
#include "holdfast/emu_serve.h"
#include "holdfast/error.h"
#include "holdfast/io.h"
#include "holdfast/keeper.h"
#include "holdfast/log.h"
#include "holdfast/namespace.h"
#include "holdfast/pci.h"
#include "holdfast/servicing.h"
