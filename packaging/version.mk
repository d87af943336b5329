# SPDX-License-Identifier: GPL-2.0
# The version of the packages and of what is in them.
VERSION := 0.9.0
