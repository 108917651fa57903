-- Jobs that are paused or hold blocked tasks, for counting what waits.
create index job_paused on job (number) where paused and state < 4;
create index job_blocked on job (number) where blocked > 0 and state < 4;
