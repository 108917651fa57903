using JobHub.Api;
using JobHub.Api.Http.Access;
using Microsoft.Extensions.Options;

try
{
    await using var app = ApiHost.Build(args);
    await app.RunAsync();
    return 0;
}
catch (Exception fault) when (fault is StartRefusedException or OptionsValidationException)
{
    await Console.Error.WriteLineAsync($"JobHub.Api does not start: {fault.Message}");
    return 1;
}
