-- What kind of server this is. Takes no lock.
select current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery(),
	current_user, to_regnamespace('omnibox') is not null
