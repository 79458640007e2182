package cloudevents_test

import (
	"fmt"

	"github.com/gesta-db/gesta/api/cloudevents"
	"github.com/gesta-db/gesta/api/eventwire"
)

func Example() {
	line := `{"specversion":"1.0","id":"7","source":"/shop","type":"OrderPlaced","subject":"order-12","data":{"total": 30}}`
	key, event, err := cloudevents.ParseJSON([]byte(line))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s %s\n", key, event.Type, event.Data)

	back, err := cloudevents.MarshalJSON(&eventwire.Recorded{Event: event, Key: key})
	fmt.Println(string(back), err)
	// Output:
	// order-12 OrderPlaced {"total": 30}
	// {"specversion":"1.0","id":"7","source":"/shop","type":"OrderPlaced","subject":"order-12","data":{"total": 30}} <nil>
}
