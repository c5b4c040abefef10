-- Numbers the pending rows, a transaction a chunk, until none is left. Run it
-- outside of a transaction.
do $loop$
declare
	after_seq bigint;
	rows      bigint;
begin
	loop
		after_seq := 0;
		loop
			execute $number$
{{.NumberChunk}}
			$number$ into after_seq, rows using after_seq, 2000::bigint;
			commit;
			exit when after_seq = 0;
		end loop;
{{.Prune}}
		commit;
		if exists (select from {{.Plan}}) then
			perform pg_sleep(0.2); -- a relay holds them
			continue;
		end if;
{{.Late}}
		get diagnostics rows = row_count;
		commit;
		exit when rows = 0;
	end loop;
end
$loop$;

drop table {{.Plan}};
