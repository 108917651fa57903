-- Which job brought or made a file of a project's space; null when it was uploaded by itself.
alter table file add column maker bigint;

-- Jobs that use a version of a program, newest first.
create index job_mapper on job ((details #>> '{mapper,hash}'), (details #>> '{mapper,name}'), number desc) where family = 0;
create index job_reducer on job ((details #>> '{reducer,hash}'), (details #>> '{reducer,name}'), number desc) where family = 0;
create index job_combiner on job ((details #>> '{combiner,hash}'), (details #>> '{combiner,name}'), number desc) where family = 0 and details ? 'combiner';
