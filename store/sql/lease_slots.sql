-- Leases those of the slots that nobody holds; says whether the pipeline is
-- paused, and then leases none. One row without a slot when there is nothing.
-- Locks: the lease rows, for update, skipping those that are locked.
-- Index: primary key of omnibox.slots.
with gate as materialized (
	select exists (select from omnibox.pipelines where name = @pipeline and paused_at is not null) as paused
), free as materialized (
	select s.slot, s.dirty
	from omnibox.slots s
	where s.table_name = @table and s.slot = any (@slots::smallint[])
		and s.lease_until < clock_timestamp()
		and not (select paused from gate)
	order by s.slot
	for update skip locked
), leased as (
	update omnibox.slots s
	set token = s.token + 1, owner = @owner, dirty = true,
		lease_until = clock_timestamp() + @lease::bigint * interval '1 microsecond'
	from free
	where s.table_name = @table and s.slot = free.slot
	returning s.slot, s.token, free.dirty
)
select gate.paused, leased.slot, leased.token, leased.dirty
from gate left join leased on true
