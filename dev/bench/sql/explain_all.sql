-- Has every statement of the session explained, to the client.
load 'auto_explain';
set auto_explain.log_min_duration = 0;
set auto_explain.log_analyze = on;
set auto_explain.log_buffers = on;
set auto_explain.log_timing = off;
set auto_explain.log_format = 'json';
set auto_explain.log_level = 'notice';
set client_min_messages = 'notice'
