using JobHub.AppHost;

namespace JobHub.AppHost.Tests;

public class HubArgumentsTests
{
    [Fact]
    public void Arguments_None_AreTheDefaults()
    {
        var (hub, _, _) = Read();

        Assert.NotNull(hub);
        Assert.Equal((4750, 4751, Environment.ProcessorCount, true), (hub.ApiPort, hub.WebPort, hub.Slots, hub.Web));
        Assert.Equal(Path.GetFullPath(".jobhub"), hub.Data);
        Assert.Empty(hub.AlsoListen);
        Assert.Null(hub.Demo);
    }

    [Fact]
    public void Arguments_AllGiven_AreRead()
    {
        var (hub, _, _) = Read("--data", "/tmp/x", "--api-port", "1234", "--web-port", "1235", "--slots", "0", "--no-web", "--also-listen", "5000, 8080",
            "--rabbitmq", "amqps://hub:secret@mq.example.net");

        Assert.NotNull(hub);
        Assert.Equal(("/tmp/x", 1234, 1235, 0, false), (hub.Data, hub.ApiPort, hub.WebPort, hub.Slots, hub.Web));
        Assert.Equal([5000, 8080], hub.AlsoListen);
        Assert.Equal("amqps://hub:secret@mq.example.net", hub.RabbitMq);
    }

    [Theory]
    [InlineData("demo", "--once", "--data", "/tmp/x", "/tmp")]
    [InlineData("--data", "/tmp/x", "demo", "/tmp", "--once")]
    public void Demo_WithInputsAndOptionsOnEitherSide_IsRead(params string[] args)
    {
        var (hub, _, _) = Read(args);

        Assert.NotNull(hub?.Demo);
        Assert.Equal("/tmp/x", hub.Data);
        Assert.Equal(["/tmp"], hub.Demo.Inputs);
        Assert.True(hub.Demo.Once);
    }

    [Theory]
    [InlineData("--api-port", "0")]
    [InlineData("--api-port", "65536")]
    [InlineData("--web-port", "x")]
    [InlineData("--slots", "-1")]
    [InlineData("--slots", "1025")]
    [InlineData("--also-listen", "5000,abc")]
    [InlineData("--also-listen", "4750")]
    [InlineData("--api-port", "4751")]
    [InlineData("--rabbitmq", "http://hub:sesame@mq")]
    [InlineData("--rabbitmq", "mq.example.net:sesame")]
    [InlineData("--once")]
    [InlineData("--frobnicate")]
    [InlineData("start")]
    [InlineData("demo", "/there/is/no/such/file")]
    [InlineData("demo", "--slots", "0")]
    public void Arguments_Wrong_EndWithTwoAndOneLine(params string[] args)
    {
        var (hub, code, error) = Read(args);

        Assert.Null(hub);
        Assert.Equal(2, code);
        Assert.Single(error.Trim().Split('\n'));
        // An address may hold a password.
        Assert.DoesNotContain("sesame", error);
    }

    [Fact]
    public void Help_Asked_NamesEveryOption()
    {
        var output = new StringWriter();
        var (hub, code) = HubArguments.Read(["--help"], output, TextWriter.Null);

        Assert.Null(hub);
        Assert.Equal(0, code);
        foreach (var option in new[] { "--data", "--api-port", "--web-port", "--slots", "--no-web", "--also-listen", "--rabbitmq", "demo" }) Assert.Contains(option, output.ToString());
    }

    private static (HubArguments? Hub, int Code, string Error) Read(params string[] args)
    {
        var error = new StringWriter();
        var (hub, code) = HubArguments.Read(args, TextWriter.Null, error);
        return (hub, code, error.ToString());
    }
}
