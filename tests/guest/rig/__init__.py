# SPDX-License-Identifier: BSD-3-Clause
"""Machines for tests: kernels, QEMUs, initramfs images and their boots."""
