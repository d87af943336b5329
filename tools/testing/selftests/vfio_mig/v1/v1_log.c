// SPDX-License-Identifier: GPL-2.0-only
/* The kernel log: one line gives the reason why a stream was refused. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/kmsg.h"
#include "lib/stream.h"

FIXTURE(log) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
	int kmsg;
};

FIXTURE_SETUP(log)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	ASSERT_RET(0, device_reset(&self->dev));
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg)
		TH_LOG("/dev/kmsg: %s", errname(self->kmsg));
}

FIXTURE_TEARDOWN(log)
{
	close(self->kmsg);
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

/* One line has the errno, the chunk and the reason, and no text follows. */
static void check_line(struct __test_metadata *_metadata, int kmsg,
		       const struct device *dev, int err, unsigned int chunk,
		       const char *why)
{
	const char *line = kmsg_next(kmsg, dev);
	char want[256];

	snprintf(want, sizeof(want),
		 "migration stream refused (%d), chunk %u: %s", err, chunk, why);
	ASSERT_NE(NULL, line)
		TH_LOG("no line: expected \"%s\"", want);
	EXPECT_NE(NULL, strstr(line, want))
		TH_LOG("expected \"%s\", saw \"%s\"", want, line);
	line = kmsg_next(kmsg, dev);
	EXPECT_EQ(NULL, line)
		TH_LOG("one more line: \"%s\"", line);
}

TEST_F(log, a_damaged_chunk_is_told_once)
{
	struct chunk c;
	int i;

	ASSERT_EQ(0, stream_find(&self->stream, CHUNK_CONTROL, 0, &c));
	((char *)c.payload)[c.length - 1] ^= 1;
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	for (i = 0; i < 3; i++)
		EXPECT_RET(-EBADMSG, v1_feed(&self->v1, self->stream.data,
					     self->stream.len, 0));
	EXPECT_RET(-EBADMSG, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_RET(-EBADMSG, v1_set_state(&self->v1, V1_STOPPED));
	check_line(_metadata, self->kmsg, &self->dev, -EBADMSG,
		   stream_count(&self->stream, 0) - 2, "");
}

TEST_F(log, a_chunk_missing_is_told_by_its_number)
{
	int nr = stream_count(&self->stream, 0);
	char why[64];

	stream_remove(&self->stream, nr - 2);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	EXPECT_RET(-EILSEQ, v1_feed(&self->v1, self->stream.data,
				    self->stream.len, 0));
	snprintf(why, sizeof(why), "chunk %d where %d was due", nr - 1, nr - 2);
	check_line(_metadata, self->kmsg, &self->dev, -EILSEQ, nr - 2, why);
}

TEST_F(log, an_incomplete_state_is_told)
{
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	EXPECT_RET(-ENODATA, v1_set_state(&self->v1, V1_RUNNING));
	check_line(_metadata, self->kmsg, &self->dev, -ENODATA, 0,
		   "the device is to run, the state is incomplete");
}

/* Text from the stream is escaped before it is printed. */
TEST_F(log, text_from_the_stream_is_escaped)
{
	struct header_payload *h;
	struct chunk c;

	ASSERT_EQ(0, stream_chunk(&self->stream, 0, &c));
	h = c.payload;
	memset(h->type, 0, sizeof(h->type));
	strcpy(h->type, "a\n<0>panic\x1b[2J");
	chunk_sum(&c);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	EXPECT_RET(-ENODEV, v1_feed(&self->v1, self->stream.data,
				    self->stream.len, 0));
	/* The driver escapes the text, and /dev/kmsg writes its backslashes as \x5c. */
	check_line(_metadata, self->kmsg, &self->dev, -ENODEV, 0,
		   "a state of 'a\\x5cn<0>panic\\x5ce[2J'");
}

TEST_F(log, a_stream_that_loads_is_not_worth_a_line)
{
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_EQ(NULL, kmsg_next(self->kmsg, &self->dev));
}

/*
 * Streams cannot fill the log: each refusal is counted, and only a few are logged. The
 * number of rounds is small, because each round clears the whole data section.
 */
#define ROUNDS	100

TEST_F(log, many_bad_streams_do_not_flood_it)
{
	long long refused = device_counter(&self->dev, "migration/refused");
	double begin = clock_now(), took;
	int lines, i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
		ASSERT_RET(-ENODATA, v1_set_state(&self->v1, V1_RUNNING));
		ASSERT_RET(0, device_reset(&self->dev));
	}
	took = clock_now() - begin;
	if (refused >= 0)
		EXPECT_EQ(refused + ROUNDS,
			  device_counter(&self->dev, "migration/refused"));
	lines = kmsg_count(self->kmsg, &self->dev);
	EXPECT_GE(kmsg_most(took), lines)
		TH_LOG("%d lines in %.0f s", lines, took);
}

/* A device logs few lines in 5 s, and another program may have used them up. */
static void need_lines(void)
{
	suite_need_stream();
	if (suite_given())
		sleep(6);
}

SUITE_MAIN(need_lines())
