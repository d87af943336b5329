// SPDX-License-Identifier: GPL-2.0-only
/* The registers of the v1 migration region. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "v1.h"

/*
 * Finds the migration region. -ENOENT: the device has none. Outside of a session only the
 * sparse-mmap capability has the offset of the data section, because it covers exactly the
 * data section.
 */
int v1_open(struct v1 *v1, struct device *dev)
{
	int ret;

	memset(v1, 0, sizeof(*v1));
	v1->dev = dev;
	ret = region_find(&v1->region, dev, VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
			  VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED);
	if (ret)
		return ret;
	if (v1->region.sparse && v1->region.nr_areas)
		v1->data = v1->region.areas[0].offset;
	else
		v1->data = V1_PAGE;
	if (v1->data >= v1->region.size)
		return -ERANGE;
	v1->window = v1->region.size - v1->data;
	return 0;
}

void v1_close(struct v1 *v1)
{
	v1_unmap(v1);
}

/* Maps the window. From now on v1_read_data() and v1_write_data() use the mapping. */
int v1_map(struct v1 *v1)
{
	return region_mmap(&v1->region, v1->data, v1->window,
			   PROT_READ | PROT_WRITE, MAP_SHARED, &v1->map);
}

void v1_unmap(struct v1 *v1)
{
	if (v1->map)
		munmap(v1->map, v1->window);
	v1->map = NULL;
}

int v1_read32(struct v1 *v1, __u64 at, __u32 *value)
{
	return region_read_all(&v1->region, at, value, sizeof(*value));
}

int v1_write32(struct v1 *v1, __u64 at, __u32 value)
{
	return region_write_all(&v1->region, at, &value, sizeof(value));
}

int v1_read64(struct v1 *v1, __u64 at, __u64 *value)
{
	return region_read_all(&v1->region, at, value, sizeof(*value));
}

int v1_write64(struct v1 *v1, __u64 at, __u64 value)
{
	return region_write_all(&v1->region, at, &value, sizeof(value));
}

int v1_set_state(struct v1 *v1, __u32 state)
{
	return v1_write32(v1, V1_DEVICE_STATE, state);
}

/* Returns the state, or a negative errno. */
long v1_get_state(struct v1 *v1)
{
	__u32 state;
	int ret;

	ret = v1_read32(v1, V1_DEVICE_STATE, &state);
	return ret ? ret : (long)state;
}

const char *v1_state_name(__u32 state)
{
	static const char * const names[] = {
		[V1_STOPPED]	= "000 (stopped)",
		[V1_RUNNING]	= "001 (running)",
		[V1_STOP_COPY]	= "010 (stop-and-copy)",
		[V1_PRE_COPY]	= "011 (pre-copy)",
		[V1_RESUMING]	= "100 (resuming)",
		[5]		= "101 (invalid)",
		[V1_ERROR]	= "110 (error)",
		[7]		= "111 (invalid)",
	};
	static char other[4][16];
	static int turn;

	if (state < 8)
		return names[state];
	turn = (turn + 1) % 4;
	snprintf(other[turn], sizeof(other[turn]), "%#x", state);
	return other[turn];
}

/* Goes to @state from the present state, by permitted transitions. */
int v1_go(struct v1 *v1, __u32 state)
{
	long now = v1_get_state(v1);
	int ret;

	if (now < 0)
		return now;
	if (now == (long)state)
		return 0;
	/* 001 leads to all states, and only a device with a failed load cannot enter 001 */
	ret = now == V1_RUNNING ? 0 : v1_set_state(v1, V1_RUNNING);
	if (ret)
		ret = device_reset(v1->dev);
	if (ret || state == V1_RUNNING)
		return ret;
	return v1_set_state(v1, state);
}

int v1_pending(struct v1 *v1, __u64 *bytes)
{
	return v1_read64(v1, V1_PENDING_BYTES, bytes);
}

int v1_data_offset(struct v1 *v1, __u64 *offset)
{
	return v1_read64(v1, V1_DATA_OFFSET, offset);
}

int v1_data_size(struct v1 *v1, __u64 *size)
{
	return v1_read64(v1, V1_DATA_SIZE, size);
}

/*
 * Opens an iteration: reads data_offset, then data_size. Returns the size of the data, 0 if
 * there is nothing to send. The data is at the start of the data section.
 */
ssize_t v1_open_iteration(struct v1 *v1)
{
	__u64 offset, size;
	int ret;

	ret = v1_data_offset(v1, &offset);
	if (ret)
		return ret;
	ret = v1_data_size(v1, &size);
	if (ret || !size)
		return ret;
	if (offset != v1->data || size > v1->window)
		return -ERANGE;
	return size;
}

int v1_write_data_size(struct v1 *v1, __u64 size)
{
	return v1_write64(v1, V1_DATA_SIZE, size);
}

/* @at counts from the start of the data section. */
int v1_read_data(struct v1 *v1, __u64 at, void *buf, size_t len)
{
	return region_read_all(&v1->region, v1->data + at, buf, len);
}

int v1_write_data(struct v1 *v1, __u64 at, const void *buf, size_t len)
{
	return region_write_all(&v1->region, v1->data + at, buf, len);
}
