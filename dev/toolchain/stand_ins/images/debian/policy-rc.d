#!/bin/sh
# A container has no service manager: installing a package starts nothing.
exit 101
