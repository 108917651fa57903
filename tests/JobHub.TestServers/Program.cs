// Holds the servers that all test projects of one run share, until its standard input ends. Prints NAME=value for each, then `ready`.
using JobHub.Testing;

try
{
    await using var s3 = await S3Server.StartAsync();
    Console.WriteLine($"JOBHUB_TEST_S3={s3.Shared}");
    Console.WriteLine("ready");
    // The end of the input is the word to stop, and comes also when whoever started us was killed.
    var buffer = new byte[64];
    await using var input = Console.OpenStandardInput();
    while (await input.ReadAsync(buffer) > 0)
    {
        // Nothing is said but the end.
    }
    return 0;
}
catch (Exception e) when (e is InvalidOperationException or OperationCanceledException)
{
    await Console.Error.WriteLineAsync(e.Message);
    return 1;
}
