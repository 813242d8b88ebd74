eckart plan model -o plan.json
