// What these tests start are processes of one worker: who may end an orphan, and who holds a pipe for a moment, depends on what else runs in it.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
